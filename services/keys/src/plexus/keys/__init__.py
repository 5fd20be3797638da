"""Device keys, cross-signing, server signing keys."""
