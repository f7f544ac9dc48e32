//! One crypto library for tokens and TLS, chosen by name rather than by what a build happens to enable.

/// Makes aws-lc the provider of jsonwebtoken and of rustls. Once is enough, more does no harm.
pub fn install_crypto() {
    // An error only says that a provider is installed already.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
