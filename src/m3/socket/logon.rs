//! Dialling M3 and logging on: PWLOG, the five answers to it, and the reroute of Java M3.
//!
//! The password is masked as the protocol asks, which hides it from nobody: plain TCP leaves the machine only where
//! that was accepted, and a reroute goes only where the settings allow it.

use super::super::error::Error;
use super::super::settings::Settings;
use super::frame::{Frames, Wire};
use crate::model::{Charset, M3User, Place, ProgramName};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use secrecy::{ExposeSecret, SecretString};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

/// Everything that opens a connection needs.
#[derive(Clone)]
pub(in crate::m3) struct Dialler {
    settings: Arc<Settings>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl std::fmt::Debug for Dialler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dialler({})", self.settings.address)
    }
}

/// A connection that is logged on, and how text crosses it.
pub(super) struct LoggedOn {
    pub(super) frames: Frames,
    pub(super) charset: Charset,
}

const MOST_TEXT: usize = 16;
/// Of what M3 says when it refuses a logon.
const MOST_MESSAGE: usize = 255;

impl Dialler {
    pub(in crate::m3) fn new(settings: Arc<Settings>) -> io::Result<Self> {
        let tls = match &settings.tls {
            None => None,
            Some(tls) => {
                let bad = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
                let mut roots = rustls::RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(&tls.ca_pem) {
                    let certificate = certificate.map_err(|e| bad(format!("m3.tls_ca: {e}")))?;
                    roots.add(certificate).map_err(|e| bad(format!("m3.tls_ca: {e}")))?;
                }
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let config = rustls::ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(|e| bad(e.to_string()))?
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                let name =
                    ServerName::try_from(tls.server_name.clone()).map_err(|e| bad(format!("m3.tls_name: {e}")))?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
        };
        Ok(Self { settings, tls })
    }

    /// Logs on, following one reroute. The caller bounds the time.
    pub(super) async fn log_on(
        &self,
        user: &M3User,
        password: &SecretString,
        program: ProgramName,
        place: Option<Place>,
    ) -> Result<LoggedOn, Error> {
        let mut frames = self.dial(&self.settings.address).await?;
        let request = request(user, password, program, place, &self.settings.application)?;
        let lost = |source: io::Error| Error::Lost { sent: false, source: source.into() };
        frames.send(&request).await.map_err(lost)?;
        let reply = frames.next().await.map_err(lost)?;
        let text = Charset::Latin1.decode(&reply).into_owned();
        match Reply::parse(&text) {
            Reply::Refused(message) => {
                let message = message.chars().take(MOST_MESSAGE).collect();
                Err(Error::LogonRefused { user: user.clone(), message })
            }
            Reply::Reroute { host, port, id } => {
                // M3 gives the place to the second connection once the first has ended.
                drop(frames);
                self.reroute(host, port, id, program).await
            }
            Reply::Unreadable => Err(Error::Protocol { sent: false, what: "a reroute that can't be read" }),
            Reply::Unicode => Ok(LoggedOn { frames, charset: Charset::Ucs2 }),
            Reply::SingleByte => Ok(LoggedOn { frames, charset: self.settings.charset }),
        }
    }

    async fn reroute(&self, host: &str, port: u16, id: u32, program: ProgramName) -> Result<LoggedOn, Error> {
        let own = self.settings.host();
        let allowed = host.eq_ignore_ascii_case(own)
            || self.settings.reroute_hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
            || self.settings.reroute_map.contains_key(host);
        if !allowed {
            return Err(Error::RerouteRefused { host: host.chars().take(255).collect() });
        }
        let dialled = self.settings.reroute_map.get(host).map_or(host, String::as_str);
        let address = if dialled.contains(':') { format!("[{dialled}]:{port}") } else { format!("{dialled}:{port}") };
        let mut frames = self.dial(&address).await?;
        match frames.bare(id).await.map_err(|source: io::Error| Error::Lost { sent: false, source: source.into() })? {
            0 => Ok(LoggedOn { frames, charset: Charset::Ucs2 }),
            1 => Err(Error::NoSuchProgram(program)),
            _ => Err(Error::Protocol { sent: false, what: "the rerouted connection was refused" }),
        }
    }

    async fn dial(&self, address: &str) -> Result<Frames, Error> {
        let unreachable = |source: io::Error| Error::Unreachable { address: address.to_owned(), source: source.into() };
        let connect = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let wire: Box<dyn Wire> = match &self.tls {
                None => Box::new(stream),
                Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
            };
            Ok(wire)
        };
        match tokio::time::timeout(self.settings.connect_timeout, connect).await {
            Ok(wire) => Ok(Frames::new(wire.map_err(unreachable)?, self.settings.max_frame)),
            Err(_) => Err(unreachable(io::ErrorKind::TimedOut.into())),
        }
    }
}

/// The 149 bytes of PWLOG. What doesn't fit its field is refused, not cut: another user would log on.
fn request(
    user: &M3User,
    password: &SecretString,
    program: ProgramName,
    place: Option<Place>,
    application: &str,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let place = place.map(|place| format!("{:03}{}", place.company.number(), place.division)).unwrap_or_default();
    let password = password.expose_secret();
    if password.len() > MOST_TEXT || !password.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        let message = "its password does not fit the protocol: at most 16 characters of ASCII".to_owned();
        return Err(Error::LogonRefused { user: user.clone(), message });
    }
    // It never grows, which would leave a copy behind.
    let mut out = Zeroizing::new(Vec::with_capacity(149));
    out.extend_from_slice(b"PWLOG");
    padded(place.as_bytes(), 32, &mut out);
    padded(user.as_str().as_bytes(), MOST_TEXT, &mut out);
    let at = out.len();
    padded(password.as_bytes(), MOST_TEXT, &mut out);
    mask(&mut out[at..]);
    padded(program.as_str().as_bytes(), 32, &mut out);
    padded(application.as_bytes(), 32, &mut out);
    padded(b"127.0.0.1", 16, &mut out);
    Ok(out)
}

fn padded(text: &[u8], width: usize, out: &mut Vec<u8>) {
    let text = &text[..text.len().min(width)];
    out.extend_from_slice(text);
    out.resize(out.len() + width - text.len(), b' ');
}

/// Bytes 0 to 9 against the ASCII of their own digit, unless they are that digit. It hides nothing.
fn mask(password: &mut [u8]) {
    for (digit, byte) in (b'0'..=b'9').zip(password) {
        if *byte != digit {
            *byte ^= digit;
        }
    }
}

enum Reply<'a> {
    Refused(&'a str),
    Reroute { host: &'a str, port: u16, id: u32 },
    Unreadable,
    Unicode,
    SingleByte,
}

impl<'a> Reply<'a> {
    fn parse(text: &'a str) -> Self {
        let text = text.trim_matches([' ', '\0']);
        if let Some(rest) = text.strip_prefix("NOK") {
            return Self::Refused(rest.trim());
        }
        if let Some(rest) = text.strip_prefix("CHG").filter(|rest| rest.is_empty() || rest.starts_with(' ')) {
            let mut words = rest.split([',', ' ']).filter(|word| !word.is_empty());
            let (host, port, id) = (words.next(), words.next(), words.next());
            return match (host, port.and_then(|port| port.parse().ok()), id.and_then(|id| id.parse().ok())) {
                (Some(host), Some(port), Some(id)) => Self::Reroute { host, port, id },
                _ => Self::Unreadable,
            };
        }
        if text.starts_with("NGCONOK") || text.starts_with("UCS2") { Self::Unicode } else { Self::SingleByte }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Company, Division};

    #[test]
    fn a_logon_is_the_149_bytes_of_the_protocol() {
        let user = M3User::parse("MIDEMO").expect("a user");
        let program = ProgramName::parse("CRS610MI").expect("a program");
        let place = Place {
            company: Company::new(100).expect("a company"),
            division: Division::parse("AAA").expect("a division"),
        };
        let bytes =
            request(&user, &SecretString::from("a0123456789bcdef"), program, Some(place), "mi-gateway").expect("fits");
        let masked = b"\x51\x01\x03\x01\x07\x01\x03\x01\x0f\x01";
        let mut expected = Vec::new();
        expected.extend_from_slice(b"PWLOG100AAA                          MIDEMO          ");
        expected.extend_from_slice(masked);
        expected.extend_from_slice(
            b"9bcdefCRS610MI                        mi-gateway                      127.0.0.1       ",
        );
        assert_eq!(bytes.len(), 149);
        assert_eq!(*bytes, expected);
    }

    #[test]
    fn a_byte_that_is_its_own_digit_stays() {
        let mut password = *b"0123456789";
        mask(&mut password);
        assert_eq!(&password, b"0123456789");
    }

    #[test]
    fn a_password_that_does_not_fit_is_refused_and_not_cut() {
        let user = M3User::parse("MIDEMO").expect("a user");
        let program = ProgramName::parse("CRS610MI").expect("a program");
        for password in ["12345678901234567", "pässword"] {
            let made = request(&user, &SecretString::from(password), program, None, "x");
            assert!(matches!(made, Err(Error::LogonRefused { .. })));
        }
    }

    #[test]
    fn who_dials_shows_no_password() {
        let user = M3User::parse("MVX").expect("a user");
        let mut settings = Settings::new("m3.example:26800".to_owned(), user.clone());
        settings.users.insert(user, SecretString::from("MARK-password"));
        let dialler = Dialler::new(Arc::new(settings.clone())).expect("nothing is dialled");
        let shown = format!("{dialler:?} {dialler:#?} {settings:?}");
        assert!(shown.contains("m3.example") && !shown.contains("MARK"), "{shown}");
    }
}
