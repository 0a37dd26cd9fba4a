"""How fast a network runs on this machine: measured in pairs, told in ratios."""
