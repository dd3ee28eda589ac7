"""What the steps of both roles share: their attempt and its fence, probes, what both do at an appliance."""
