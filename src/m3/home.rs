//! Where an M3 user is at home: his own company, division and language, asked of M3 and remembered for a while.

use super::client::{Choice, Client};
use super::error::Error;
use crate::model::{M3User, Place};
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

impl Client {
    /// The user's own place; one question for many askers.
    pub async fn home(&self, user: &M3User) -> Result<Home, Error> {
        if let Some(home) = self.homes().0.get(user).await {
            return Ok(home);
        }
        let ask = |client: Self, user: M3User| async move {
            let who = client.who(&user, Choice::Any).await?;
            Ok(Home { place: who.place, language: who.language })
        };
        let (client, asking) = (self.clone(), user.clone());
        // On a task of its own: many may wait for this one answer, and none of them for whoever asked first.
        let asked = self
            .tasks()
            .spawn(async move { client.homes().0.try_get_with(asking.clone(), ask(client.clone(), asking)).await });
        asked.await.map_err(|_| Error::interrupted())?.map_err(|error: Arc<Error>| (*error).clone())
    }

    /// Whether M3 answers, and as whom: for readiness and `check --probe`.
    pub async fn probe(&self) -> Result<Identity, Error> {
        let who = self.who(&self.user(), Choice::Proven).await?;
        Ok(Identity { user: who.user, place: who.place, build: who.build })
    }
}
