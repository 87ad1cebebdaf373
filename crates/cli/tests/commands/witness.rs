//! Witnesses as processes: what they cosign, and what they refuse to.

use serde_json::Value;

use crate::serving::copy;
use crate::support::{Company, Daemon, Outcome, run, string};

impl Company {
    fn witness(&self, name: &str, arguments: &[&str]) -> Outcome {
        let dir = self.at(name);
        run(&[&["witness"], arguments, &["--dir", &dir, "--json"]].concat())
    }

    /// Makes a witness and has the policy name it.
    fn watched_by(&self, name: &str) -> Value {
        let made = self.witness(name, &["init", "--org", &self.at("org/public")]).ok();
        let key = string(&made["key"]);
        self.org(&["policy", "set", "--witness", &key, "--witness-quorum", "1"]).ok();
        made
    }

    fn put_back(&self, name: &str) {
        std::fs::remove_dir_all(self.path(name)).unwrap();
        copy(&self.path(&format!("{name}.old")), &self.path(name));
    }

    fn note_of(&self, who: &str) -> String {
        std::fs::read_to_string(self.path(who).join("checkpoint")).unwrap()
    }
}

#[test]
fn a_witness_cosigns_once_and_clients_hear_of_it_r_log_15_r_org_58() {
    let company = Company::open();
    company.member("alice");
    let made = company.witness("witness", &["init", "--org", &company.at("org/public")]).ok();
    let key = string(&made["key"]);
    company.witness("witness", &["once"]).fails(2, "relay-not-authorised", false);
    let wrong = company.org(&["policy", "set", "--witness", &key, "--witness-quorum", "2"]);
    wrong.fails(64, "policy-out-of-range", false);
    let set = company.org(&["policy", "set", "--witness", &key, "--witness-quorum", "1"]).ok();
    assert_eq!((&set["after"]["witnesses"][0], &set["after"]["witness_quorum"]), (&made["key"], &1.into()));
    let first = company.witness("witness", &["once"]).ok();
    assert_eq!(first["cosigned"], true);
    let second = company.witness("witness", &["once"]).ok();
    assert_eq!((&second["cosigned"], &second["size"]), (&false.into(), &first["size"]), "nothing is new");
    company.learn_directory("alice");
    assert!(company.note_of("alice").contains(&string(&made["name"])));
    company.witness("witness", &["init", "--org", &company.at("org/public")]).fails(
        1,
        "already-exists",
        false,
    );
    // Another quorum leaves the witnesses; none at all takes both away.
    let none = company.org(&["policy", "set", "--no-witness"]).ok();
    assert_eq!(
        (&none["after"]["witnesses"], &none["after"]["witness_quorum"]),
        (&Value::Array(vec![]), &0.into())
    );
}

#[test]
fn a_witness_that_runs_cosigns_and_excludes_another_process() {
    let company = Company::open();
    company.watched_by("witness");
    let dir = company.at("witness");
    let mut running = Daemon::start(&["witness", "run", "--dir", &dir, "--json"]);
    assert_eq!(running.line()["cosigned"], true);
    company.witness("witness", &["once"]).fails(5, "store-busy", true);
    running.stop();
}

#[test]
fn a_witness_refuses_a_smaller_tree_and_a_fork_r_log_15() {
    let mut company = Company::open();
    let made = company.watched_by("witness");
    company.desk().stop();
    company.relay.stop();
    for name in ["data", "org"] {
        copy(&company.path(name), &company.path(&format!("{name}.old")));
    }
    company.restart_relay();
    company.org(&["policy", "set", "--device-limit", "5"]).ok();
    let seen = company.witness("witness", &["once"]).ok();
    let note = company.note_of("witness");
    company.relay.stop();
    for name in ["data", "org"] {
        company.put_back(name);
    }
    company.restart_relay();
    company.witness("witness", &["once"]).fails(5, "log-rolled-back", true);
    let conflict = || std::fs::read_to_string(company.path("witness/conflict")).unwrap();
    assert!(!conflict().contains(&string(&made["name"])), "nothing of it is cosigned");
    // The organisation goes on from its old copy: as many entries, and then more, all of them true statements.
    for limit in ["6", "7"] {
        company.org(&["policy", "set", "--device-limit", limit]).ok();
        let size = company.org(&["log"]).ok()["size"].as_u64().unwrap();
        assert!(size >= seen["size"].as_u64().unwrap(), "{size}");
        company.witness("witness", &["once"]).fails(2, "log-forked", false);
        assert!(!conflict().contains(&string(&made["name"])), "nothing of it is cosigned");
        assert_eq!(company.note_of("witness"), note, "what was seen stays");
    }
    // Another witness, who has seen nothing else, has no reason to refuse.
    let fresh = company.witness("fresh", &["init", "--org", &company.at("org/public")]).ok();
    company.org(&["policy", "set", "--witness", &string(&fresh["key"])]).ok();
    assert_eq!(company.witness("fresh", &["once"]).ok()["cosigned"], true);
}
