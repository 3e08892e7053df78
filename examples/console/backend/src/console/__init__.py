"""A console of notes: what one person writes, every open page shows at once."""
