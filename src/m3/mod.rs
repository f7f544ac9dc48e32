//! stub
#![allow(dead_code, unused, missing_debug_implementations)]
use crate::model::*;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use secrecy::SecretString;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
#[derive(Debug, Clone)]
pub struct PoolSettings {
    pub max_sessions: usize,
    pub max_per_key: usize,
    pub idle: Duration,
    pub wait: Duration,
    pub max_waiting: usize,
}
#[derive(Debug, Clone)]
pub struct TlsSettings {
    pub ca_pem: Vec<u8>,
    pub server_name: String,
}
#[derive(Debug, Clone)]
pub struct Settings {
    pub address: String,
    pub user: M3User,
    pub users: HashMap<M3User, SecretString>,
    pub charset: Charset,
    pub connect_timeout: Duration,
    pub logon_timeout: Duration,
    pub pool: PoolSettings,
    pub tls: Option<TlsSettings>,
    pub plaintext_accepted: bool,
    pub reroute_hosts: Vec<String>,
}
impl Settings {
    pub fn new(address: String, user: M3User) -> Self {
        panic!()
    }
}
#[derive(Debug, Clone)]
pub struct Client;
#[derive(Debug)]
pub struct Reply;
pub struct Slots {
    pub input: Vec<Slot>,
    pub output: Vec<Slot>,
}
#[derive(Debug, Clone)]
pub struct Home {
    pub place: Place,
}
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("x")]
    Refused(Refusal),
    #[error("x")]
    LayoutChanged { program: ProgramName, transaction: TransactionName },
    #[error("x")]
    TooLong { field: FieldName, most: u16 },
    #[error("x")]
    Protocol(&'static str),
}
impl Error {
    pub fn may_have_been_seen(&self) -> bool {
        false
    }
}
impl Reply {
    pub async fn next(&mut self) -> Result<Option<Record>, Error> {
        panic!()
    }
    pub fn ready(&mut self) -> Option<Result<Option<Record>, Error>> {
        panic!()
    }
    pub fn outcome_reported(&self) -> bool {
        true
    }
}
impl Client {
    pub async fn call(&self, call: &Call) -> Result<Reply, Error> {
        panic!()
    }
    pub async fn slots(&self, p: ProgramName, t: TransactionName) -> Result<Slots, Error> {
        panic!()
    }
    pub async fn home(&self, u: &M3User) -> Result<Home, Error> {
        panic!()
    }
    pub fn user(&self) -> M3User {
        panic!()
    }
}
