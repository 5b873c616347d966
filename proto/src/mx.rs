//! Which hosts take mail for a domain, in which order (RFC 5321 §5.1, RFC 7505).
