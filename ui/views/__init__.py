"""The console's pages, one a module. Which thing is open stands in the address, so that a reload keeps it."""
