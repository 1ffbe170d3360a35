"""What things cost: ratios to a bare responder, from one run. Figures, never tests. See bench/README.md."""
