//! The words of the trade: what every other room of the house talks about.
//!
//! Plain values, made only through constructors that check them. Nothing here reads a clock, a file or a socket.
//! Does not know: HTTP, JSON, the MI socket, or how any of these values is written outside the process.

mod call;
mod certificate;
mod charset;
mod claim;
mod conventions;
mod effect;
mod export;
mod ids;
mod layout;
mod limits;
mod names;
mod peer;
mod plain;
mod principal;
mod record;
mod sensitive;
mod spot;
mod standing;
mod value;

pub use call::{Call, Input, Place};
pub use certificate::ClientCertificate;
pub use charset::{Charset, Uncarried};
pub use claim::{Claim, ClaimKind, ClaimValue};
pub use conventions::{Conventions, DateForm, DecimalSign};
pub use effect::Effect;
pub use export::{Export, ExportFault, is_export_query};
pub use ids::{BadId, ClientId, Company, Division, Language, M3User, TenantId};
pub use layout::{FieldKind, FieldLayout, Layout, Slot, TransactionLayout};
pub use limits::MAX_FIELD_UNITS;
pub use names::{BadName, FieldName, ProgramName, TransactionName};
pub use peer::Peer;
pub use plain::{plain, plain_lines};
pub use principal::Principal;
pub use record::{Record, Refusal};
pub use sensitive::{Sensitive, is_sensitive};
pub use spot::Spot;
pub use standing::Standing;
pub use value::{Value, ValueFault, is_key};
