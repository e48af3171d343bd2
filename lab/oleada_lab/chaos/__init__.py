"""Kill every process of a real server and of its boxes, again and again, and look what is true."""
