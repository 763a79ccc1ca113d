"""The jobs that keep a Caravan in order. Each is harmless to do twice, and says in its result what it found."""
