"""One secp256k1 key is DID, peer id and wallet. Only this package touches private keys."""
