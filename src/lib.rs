//! mi-gateway stands in front of Infor M3 and opens its MI programs to the web.
//!
//! A request comes through the **edge** (sockets, TLS, timers), climbs the **gateway**'s one stack (who are you, how
//! often, may you) and is turned by **translate** into one MI transaction with the layout that the **catalog** learnt
//! from M3 itself. **policy** decides on the values that will be sent, **m3** sends them over a session of the right
//! user, program and company, and the answer goes back up the same stairs, record by record.
//!
//! The house has floors: a file may use its own folder and any folder on a lower floor, by its door. From the top:
//! cli · app · config · edge · gateway, admin, relay · issuer, catalog, points, mock_m3 · auth, audit, limit, m3, policies ·
//! translate, policy, bod, stoplist, outbox · telemetry, tasks, clock, store, outbound · model. A test holds the rule.

pub mod admin;
pub mod app;
pub mod audit;
pub mod auth;
pub mod bod;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod edge;
pub mod gateway;
pub mod issuer;
pub mod limit;
pub mod m3;
pub mod mock_m3;
pub mod model;
pub mod orders;
pub mod outbound;
pub mod outbox;
pub mod points;
pub mod policies;
pub mod policy;
pub mod relay;
pub mod stoplist;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod translate;
