"""`stream tail`: records of any topic, decoded as far as they can be."""
