"""What an administrator of this server may ask and do about its users."""
