"""One command each: what is measured, on which machine, and how often."""
