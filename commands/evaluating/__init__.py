"""The job that evaluates an adapter on prompts that nothing in it was trained on."""
