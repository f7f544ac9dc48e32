//! The certificate that a client showed on its connection, as far as it tells who that is.

/// Made by the edge of a handshake in which the client proved to hold the certificate's key, and by nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// SHA-256 of the whole of it: `x5t#S256` of RFC 8705.
    pub thumbprint: [u8; 32],
    /// An authority that is trusted for clients answers for its names. Otherwise nobody does, and its thumbprint is all
    /// that may be believed.
    pub vouched: bool,
    /// The subject as RFC 4514 writes it, most specific part first.
    pub subject: Box<str>,
    pub dns_names: Box<[Box<str>]>,
}
