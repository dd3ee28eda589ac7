"""A data centre on one machine: what the demo and the tests run against. The product never imports it."""
