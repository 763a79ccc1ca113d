"""What runs in a training's own process, and the words it shares with the trainer that starts it."""
