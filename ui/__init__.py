"""The console: a client of the API that imports nothing else of ours but the rule of left and right."""
