"""PostgreSQL and nats-server out of their wheels, and the supervisor that keeps processes running."""
