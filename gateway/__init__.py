"""The doors: HTTP, WebSocket, SSE and the command line."""
