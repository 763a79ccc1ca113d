"""What the domain and the commands need of the outside world, as Protocols. `adapters/` fulfils them."""
