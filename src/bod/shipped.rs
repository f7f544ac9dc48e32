//! The mappings that come with the gateway, one for each noun.

use super::fault::{Fault, Source};
use super::mapping::Mapping;

const FILES: [(&str, &str); 10] = [
    ("ItemMaster.toml", include_str!("mappings/ItemMaster.toml")),
    ("CustomerPartyMaster.toml", include_str!("mappings/CustomerPartyMaster.toml")),
    ("ShipToPartyMaster.toml", include_str!("mappings/ShipToPartyMaster.toml")),
    ("BillToPartyMaster.toml", include_str!("mappings/BillToPartyMaster.toml")),
    ("PayFromPartyMaster.toml", include_str!("mappings/PayFromPartyMaster.toml")),
    ("SupplierPartyMaster.toml", include_str!("mappings/SupplierPartyMaster.toml")),
    ("PurchaseOrder.toml", include_str!("mappings/PurchaseOrder.toml")),
    ("SalesOrder.toml", include_str!("mappings/SalesOrder.toml")),
    ("CodeDefinition.toml", include_str!("mappings/CodeDefinition.toml")),
    ("ChartOfAccounts.toml", include_str!("mappings/ChartOfAccounts.toml")),
];

/// In the order of their shipping. A fault here is one of the gateway's own, and a test holds that there is none.
pub fn shipped() -> Result<Vec<Mapping>, Vec<Fault>> {
    let of = |(name, text): &(&str, &str)| Source { name: (*name).to_owned(), text: (*text).to_owned() };
    FILES.iter().map(|file| Mapping::parse(&of(file))).collect()
}
