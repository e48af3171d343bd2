"""What may run here, and who may say so: the box's own TUF verifier and what stands on it."""
