"""What pages look like: theme, style sheets, and pieces that they share."""
