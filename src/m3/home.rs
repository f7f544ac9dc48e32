//! Where an M3 user is at home: his own company, division and language, asked of M3 and remembered for a while.

use super::client::{Choice, Client};
use super::error::Error;
use crate::model::{M3User, Place, ProgramName};
use moka::future::Cache;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    pub place: Place,
    pub language: String,
}

/// Who M3 says that we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub user: M3User,
    pub place: Place,
    pub build: String,
}

#[derive(Debug)]
pub(super) struct Homes(Cache<M3User, Home>);

const MOST: u64 = 10_000;
const FRESH_FOR: Duration = Duration::from_secs(300);

impl Homes {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_live(FRESH_FOR).build())
    }
}

/// Any program tells who its session's user is; every M3 has this one.
fn anywhere() -> ProgramName {
    ProgramName::parse("MNS150MI").expect("a name of this file")
}

impl Client {
    /// The user's own place; one question for many askers.
    pub async fn home(&self, user: &M3User) -> Result<Home, Error> {
        let ask = async {
            let (session, lease) = self.session_of(user, anywhere(), Choice::Any).await?;
            let home = Home { place: session.place, language: session.language.clone() };
            lease.give_back(session);
            Ok(home)
        };
        self.homes().0.try_get_with_by_ref(user, ask).await.map_err(|error: Arc<Error>| (*error).clone())
    }

    /// Whether M3 answers, and as whom: for readiness and `check --probe`.
    pub async fn probe(&self) -> Result<Identity, Error> {
        let (session, lease) = self.session_of(&self.user(), anywhere(), Choice::Proven).await?;
        let identity = Identity { user: session.user.clone(), place: session.place, build: session.build.clone() };
        lease.give_back(session);
        Ok(identity)
    }
}
