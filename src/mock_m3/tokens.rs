//! Tokens that m3api-rest was asked for: whose they are, and how many each was given.

use super::server::locked;
use std::collections::HashMap;
use std::sync::Mutex;

#[derive(Debug, Default)]
pub(super) struct Tokens {
    held: Mutex<HashMap<String, String>>,
    granted: Mutex<HashMap<String, u64>>,
}

impl Tokens {
    /// A token of this user, another one each time.
    pub(super) fn grant(&self, user: String) -> String {
        let mut granted = locked(&self.granted);
        *granted.entry(user.clone()).or_default() += 1;
        let token = format!("mock-{}", granted.values().sum::<u64>());
        locked(&self.held).insert(token.clone(), user);
        token
    }

    pub(super) fn owner(&self, token: &str) -> Option<String> {
        locked(&self.held).get(token).cloned()
    }

    pub(super) fn of(&self, user: &str) -> u64 {
        locked(&self.granted).get(user).copied().unwrap_or(0)
    }

    pub(super) fn end(&self) {
        locked(&self.held).clear();
    }
}
