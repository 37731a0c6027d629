//! What an exchange costs, as a ratio to what it must cost.
//!
//! One run measures, on one core with the load generator on the other: the
//! crypto floor (the two signature operations alone, on held keys), a bare
//! server (the same TLS and HTTP stack, verify and sign, nothing else), the
//! exchange in this process without and with the durable ledger, the real
//! server over TLS keep-alive, and the real server with a thousand trust domains
//! of ten rules. Absolute figures depend on the machine and on what else it
//! does; the ratios are what to compare.
//!
//! `cargo bench --bench exchange`, or with `-- --seconds N` for the length of
//! each measurement (5 by default).

mod bare;
mod floor;
mod inside;
mod load;
mod rig;

use std::{io::Write as _, path::Path, sync::Arc, time::Duration};

use assay::{
    base::{
        clock::{Clock as _, SystemClock},
        secret::Secret,
    },
    jose::{Algorithm, LocalKey},
};

use floor::Pair;
use load::{Figures, Pace, Target};
use rig::{Folder, Process};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, flag, algorithm, key, folder] = args.as_slice()
        && flag == "--bare"
    {
        serve_bare(algorithm, Path::new(key), Path::new(folder));
        return;
    }
    let seconds = args
        .iter()
        .position(|arg| arg == "--seconds")
        .and_then(|at| args.get(at + 1)?.parse().ok())
        .unwrap_or(5);
    let length = Duration::from_secs(seconds);
    for incoming in [Algorithm::Es256, Algorithm::Rs256] {
        measure(incoming, length);
    }
}

fn measure(algorithm: Algorithm, length: Duration) {
    say(&format!(
        "\n{} in, ES256 out; one serving core, {} connections, {length:?} each",
        algorithm.as_str(),
        load::CONNECTIONS
    ));
    say(
        "                                    per s     p50 ms   p99 ms   of floor  of bare  refused",
    );
    let folder = Folder::new();
    let incoming = Pair::new(algorithm);
    let outgoing = Pair::new(Algorithm::Es256);

    rig::pin(rig::SERVES);
    let floor = floor::measure(&incoming, &outgoing, length);
    say(&format!("crypto floor                      {floor:8.0}"));

    // Each token is used once: enough of them for every run, at a rate that no
    // server here exceeds.
    let pool = (floor * (length.as_secs_f64() + 1.0)) as usize;
    let forms = |domain: usize, first: usize, count: usize| -> Vec<Vec<u8>> {
        let now = SystemClock::new().now().secs();
        let issuer = rig::issuer(domain);
        (first..first + count)
            .map(|n| rig::form(&incoming.token(&issuer, "https://assay.example", n, now - 1)))
            .collect()
    };
    let requests = |forms: &[Vec<u8>]| Arc::new(forms.iter().map(|f| rig::request(f)).collect());

    let key = folder.path.join("incoming.der");
    let pkcs8 = incoming.signer.to_pkcs8().expect("a key");
    std::fs::write(&key, pkcs8.expose()).expect("written");
    let tokens = forms(0, 0, pool);
    let bare = Process::bare(&folder, algorithm.as_str(), &key);
    let target = |address, requests| Target {
        address,
        client: folder.client(),
        requests,
    };
    rig::pin(rig::LOADS);
    let at_bare = target(bare.address, requests(&tokens));
    load::run(&at_bare, Pace::Full, length / 5);
    let bare_figures = load::run(&at_bare, Pace::Full, length);
    let row = |name: &str, figures: Figures| show(name, figures, floor, bare_figures.per_second);
    row("bare server", bare_figures);
    row(
        "bare server, half load",
        load::run(&at_bare, Pace::Rate(bare_figures.per_second / 2.0), length),
    );
    drop(bare);

    let config = folder.configure(&incoming.jwks(), 1, 10);
    rig::pin(rig::SERVES);
    row(
        "exchange in memory",
        inside::run(&config, &tokens, false, length),
    );
    row(
        "exchange with the durable ledger",
        inside::run(&config, &tokens, true, length),
    );

    let served = |name: &str, config: &Path, first: usize, domain: usize| {
        let server = Process::assay(&folder, config);
        let at = |first, count| target(server.address, requests(&forms(domain, first, count)));
        let idle = server.resident();
        rig::pin(rig::LOADS);
        load::run(&at(first, pool / 3), Pace::Full, length / 5);
        let full = load::run(&at(first + pool, pool), Pace::Full, length);
        row(name, full);
        let half = Pace::Rate(full.per_second / 2.0);
        row(
            &format!("{name}, half load"),
            load::run(&at(first + 2 * pool, pool), half, length),
        );
        say(&format!(
            "    ready after {:.0} ms; resident {idle:.0} MB idle, {:.0} MB after the load",
            server.started.as_secs_f64() * 1000.0,
            server.resident()
        ));
    };
    served("real server", &config, 10 * pool, 0);
    if algorithm == Algorithm::Es256 {
        let config = folder.configure(&incoming.jwks(), 1000, 10);
        served("1,000 trust domains of 10 rules", &config, 20 * pool, 500);
    }
}

fn serve_bare(algorithm: &str, key: &Path, folder: &Path) {
    let algorithm = Algorithm::from_name(algorithm).expect("an algorithm");
    let der = Secret::new(std::fs::read(key).expect("read"));
    let incoming = Pair::of(LocalKey::from_pkcs8(algorithm, &der).expect("a key"));
    let tls = rig::server_config(folder);
    bare::serve(tls, incoming, Pair::new(Algorithm::Es256));
}

fn show(name: &str, figures: Figures, floor: f64, bare: f64) {
    say(&format!(
        "{name:34}{:8.0}   {:8.2} {:8.2}   {:7.2}  {:7.2}  {:7}",
        figures.per_second,
        figures.p50_ms,
        figures.p99_ms,
        figures.per_second / floor,
        figures.per_second / bare,
        figures.refused
    ));
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
