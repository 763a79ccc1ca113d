"""Model servers whose adapters are kept in step with the registry."""
