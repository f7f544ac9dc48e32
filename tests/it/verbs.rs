//! Documents of other kinds than a record as it is: what was deleted, told as it was, and what is asked of a supplier.

use crate::bod::{agrees, bod, text, timeless};
use crate::publisher::{done, publishing, until};
use insta::assert_snapshot;
use mi_gateway::points::{Pattern, Target};

/// Writes of the mock's records, and the documents that follow.
const WRITES: [(&str, &str, &[&str]); 7] = [
    ("MMS200MI/DltItm?ITNO=A00001", "Sync", &["ItemMaster"]),
    ("CRS610MI/Delete?CUNO=C00001", "Sync", &["CustomerPartyMaster", "BillToPartyMaster", "PayFromPartyMaster"]),
    ("CRS610MI/DeleteAddress?CUNO=C00005&ADRT=1&ADID=WH1", "Sync", &["ShipToPartyMaster"]),
    ("CRS620MI/DelSupplier?SUNO=S00001", "Sync", &["SupplierPartyMaster"]),
    ("OIS100MI/DelHead?ORNO=1000001", "Sync", &["SalesOrder"]),
    ("CRS630MI/DltAccountID?AITP=1&AITM=1000", "Sync", &["ChartOfAccounts"]),
    ("PPS200MI/ApprovePO?PUNO=2000003", "Process", &["PurchaseOrder"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_delete_and_every_request_is_whole_and_valid() {
    let (house, caller) = publishing(|settings| {
        if let Some(Target::File(file)) = settings.points.first_mut().map(|point| &mut point.target) {
            file.pattern = Pattern::parse("{verb}.{noun}_{document}_{variation}.xml").expect("a pattern");
        }
    })
    .await;
    let folder = house.state.path().join("bods");
    for (call, verb, nouns) in WRITES {
        done(&caller, call).await;
        for noun in nouns {
            let file = until(noun, async || {
                let named = |entry: &std::fs::DirEntry| {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    name.starts_with(&format!("{verb}.{noun}_")) && name.ends_with(".xml")
                };
                std::fs::read_dir(&folder).ok()?.flatten().find(named).map(|entry| entry.path())
            })
            .await;
            let document = std::fs::read_to_string(&file).expect("a document");
            let action = if verb == "Sync" { "actionCode=\"Delete\"" } else { "<ProcessPurchaseOrder " };
            assert!(document.contains(action), "{document}");
            let name = if verb == "Sync" { format!("Delete.{noun}") } else { format!("{verb}.{noun}") };
            assert_snapshot!(name, timeless(&document).replace("><", ">\n<"));
            let (state, file, noun) = (house.state.path().to_owned(), file.display().to_string(), (*noun).to_owned());
            let checked = tokio::task::spawn_blocking(move || {
                let ended = bod(&state, &["validate", &file]);
                assert!(ended.status.success(), "{}", text(&ended.stdout));
                agrees(&state, &noun, &file);
            });
            checked.await.expect("it is valid");
        }
    }
    house.stop().await;
}
