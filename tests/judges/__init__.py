"""Programs of others that judge what we judge: their findings on prod and on the cases of our rules."""
