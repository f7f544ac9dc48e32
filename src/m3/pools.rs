//! Two pools: one of callers, and a small one of the house's own reading back. Neither waits behind the other's crowd.

use super::error::Error;
use super::pool::{Key, Lease, Lent, Pool};
use super::settings::PoolSettings;
use crate::model::ClientId;
use crate::telemetry::Metrics;

/// One client holds half of a pool: eight records are read back beside each other.
const PUBLISHER: usize = 16;

#[derive(Debug)]
pub(in crate::m3) struct Pools<S: Lent> {
    callers: Pool<S>,
    publisher: Pool<S>,
}

impl<S: Lent> Clone for Pools<S> {
    fn clone(&self) -> Self {
        Self { callers: self.callers.clone(), publisher: self.publisher.clone() }
    }
}

impl<S: Lent> Pools<S> {
    pub(in crate::m3) fn new(settings: PoolSettings, metrics: &Metrics) -> Self {
        let own = PoolSettings { max_sessions: PUBLISHER, max_per_key: PUBLISHER, ..settings };
        Self { callers: Pool::new(settings, metrics), publisher: Pool::new(own, metrics) }
    }

    /// A session's place, at once or after waiting in line.
    pub(in crate::m3) async fn lease(&self, key: Key, client: &ClientId) -> Result<Lease<S>, Error> {
        let pool = if client.is_publisher() { &self.publisher } else { &self.callers };
        pool.lease(key, client).await
    }

    pub(in crate::m3) fn close(&self, which: impl Fn(&Key) -> bool) {
        self.callers.close(&which);
        self.publisher.close(&which);
    }

    pub(in crate::m3) fn shut(&self) {
        self.callers.shut();
        self.publisher.shut();
    }

    pub(in crate::m3) fn sweep(&self) {
        self.callers.sweep();
        self.publisher.sweep();
    }
}
