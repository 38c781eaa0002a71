//! What is compared, with whom, and what is wanted.

use std::io;

use benches::{Goal, Measure, Section};
use clap::ValueEnum;

use crate::checkpoints::{self, Keeper};
use crate::common::{Figures, compare, name};
use crate::local::{Contender, Shape};
use crate::many::{self, Work};
use crate::remote::tells::{self, Tell};
use crate::remote::{Carrier, IN_TURN};

const PER_SECOND: Measure = Measure::more("per second", "messages a second");
const MS: Measure = Measure::less("ms", "ms");

/// What a shape is called, what it is, and what is wanted of it.
fn about(shape: Shape) -> (&'static str, &'static str, Vec<Goal>) {
    let wanted = |ratio, others: &[&'static str]| {
        let ahead = others.iter().map(|of| Goal::new(PER_SECOND.name, of, 1.0));
        [Goal::new(PER_SECOND.name, "floor", ratio)].into_iter().chain(ahead).collect()
    };
    match shape {
        Shape::Ask1 => (
            "Local ask, one pair",
            "One task asks one actor 300,000 times, each time after the reply. standin's caller runs the handler of an \
             idle actor itself once that has been quick for a while, with all looks at the lease; the others hand \
             every message from task to task, which is why the floor is slower here. Where the time goes, in \
             instructions of one ask (about 2,750, 3,770 before; callgrind, one thread, with a clock for tests that \
             takes 500 of them): 600 are the handler's turn, between two looks at the lease and under a guard \
             against panics; 500 are the mailbox's two ends and the letter, which is one that was used before; 400 \
             are the actor's loop, 300 the visit, 300 malloc's and the oneshot's, and the rest finds the actor and \
             tells the outcome. The kernel's clock, read twice, took a tenth of the time where this was looked at.",
            wanted(0.8, &["ractor"]),
        ),
        Shape::Ask16 => (
            "Local ask, sixteen pairs",
            "Sixteen tasks ask an actor each, 50,000 times. Each ask costs what is said above. The floor's tasks find \
             the next one on their own thread here, and wake nobody.",
            wanted(0.8, &["ractor", "actix"]),
        ),
        Shape::Tell1 => (
            "Local tell, one to one",
            "One task tells one actor a million times, then asks for the sum. Mailboxes hold 1024; those of ractor \
             and actix have no bound. Where the time goes, in instructions of one tell with its handling (about \
             1,600; callgrind, one thread, 500 at a time): 470 are the handler's turn, 300 the mailbox's two ends, \
             230 find the mailbox and write the letter; 200 are malloc's, for what is more than the letters that an \
             idle mailbox keeps to be written anew (one that stays busy keeps them all); 200 are the actor's loop, \
             and 160 read the clock once for the lease. The floor has little besides the channel.",
            wanted(0.9, &["ractor"]),
        ),
        Shape::FanIn => (
            "Local tell, four to one",
            "Four tasks tell one actor 250,000 times each.",
            vec![Goal::new(PER_SECOND.name, "ractor", 1.0)],
        ),
        Shape::Skynet => (
            "Skynet",
            "An actor makes ten and asks them, five levels deep: 111,111 actors, which live in memory and end when they \
             have answered. standin's are local actors, with bounded mailboxes, behind the lease like all others; actix \
             uses one thread and mailboxes without a bound. Where the time goes, by perf: a fourth is malloc's (a task, a \
             mailbox, a letter and a way back for each, freed on the other thread half of the time) and a fifth the \
             kernel's, which brings the memory for all of them; what comes on top of that is a place in the list of \
             deadlines, one in the list of what ends with the peer, and two looks at the lease.",
            vec![Goal::new(MS.name, "actix", 1.0)],
        ),
    }
}

/// Messages within one process.
pub fn local(shape: Shape, contenders: &[Contender], rounds: usize) -> io::Result<Section> {
    let (title, text, goals) = about(shape);
    let measures = vec![if shape == Shape::Skynet { MS } else { PER_SECOND }];
    let figures = compare(contenders, rounds, &["one-local", &name(shape)])?;
    Ok(Section { title: title.into(), text: text.into(), measures, goals, figures, latency: None })
}

/// Messages between two processes.
pub fn remote(contenders: &[Carrier], rounds: usize) -> io::Result<Section> {
    let measures = vec![
        Measure::more("in turn, a second", "asks a second"),
        Measure::less("in turn, p50 us", "us"),
        Measure::less("in turn, p99 us", "us"),
        Measure::more("256 at once, a second", "asks a second"),
        Measure::more("256 at once of 1 KiB, a second", "asks a second"),
    ];
    let goals = vec![
        Goal::new("in turn, a second", "floor", 0.9),
        Goal::new("in turn, a second", "ractor-cluster", 1.0),
        Goal::new("256 at once, a second", "floor", 0.85),
        Goal::new("256 at once, a second", "ractor-cluster", 4.0),
        Goal::new("256 at once, a second", "kameo", 15.0),
        Goal::new("256 at once of 1 KiB, a second", "floor", 0.85),
    ];
    Ok(Section {
        title: "Remote ask".into(),
        text: "Two processes on loopback, an actor in the second. The floor is bare quinn with mutual TLS, one \
               stream, frames that one writer gathers, and a task behind a channel; its packets have at most 1,452 bytes, as \
               quinn comes. floor-large-packets is the same with packets of up to 6,500, as standin's are where the \
               network takes them: loopback does, and networks with jumbo frames do. floor-apart is that with a \
               thread for the connection at each end that runs no handler, as standin has. standin and kameo encrypt \
               too (QUIC); ractor_cluster does not (TCP). In turn: 100,000 asks one after the other. At once: 256 tasks, \
               200,000 asks, of a u64 or of 1 KiB.\n\nWhere the time goes: a message and its reply go from thread to \
               thread four times; the floor has one runtime for all at each end. A peer's connections have \
               threads of their own, so that handlers that keep the program's threads busy for seconds cost it \
               neither its lease nor its connections; that is two more wakes of threads on the way of each ask in \
               turn, and floor-apart shows what they cost. At \
               once they are shared, and an ask is about 12,800 instructions at both ends (callgrind, sixteen at \
               once), 102 of them locked: a seventh makes and reads the bytes of the call and of its answer, an eighth is \
               malloc's; the rest is QUIC, TLS, the way through queues and tasks, and what a local ask costs, too. Where \
               the actor is, and the connection to its host, a reference remembers. A message of 1 KiB is copied four \
               times on its way, the floor's once. That 256 at once are to be \
               four times ractor_cluster's and fifteen times kameo's comes from a machine on which bare quinn had 5.6 and \
               18.6 times as many."
            .into(),
        measures,
        goals,
        figures: compare(contenders, rounds, &["one-remote"])?,
        latency: Some((IN_TURN, "latency-remote.svg")),
    })
}

/// Messages between two processes without a reply.
pub fn tells(rounds: usize) -> io::Result<Section> {
    Ok(Section {
        title: "Remote tell, reliable".into(),
        text: "200,000 messages to an actor in another process, until all of them are in its state; five times. plain: \
               256 tasks tell it, and each waits until its message is in the mailbox; who dies takes it along. standin: \
               an actor sends as many reliably (Outbox::Eager), 256 in a handler, so that each takes effect once, \
               whoever dies. They go in batches of up to 1,024, so that most of what a call costs is shared; the \
               sender keeps them until a checkpoint of the receiver, one in at least 20 ms, holds their effect."
            .into(),
        measures: vec![Measure::more(tells::RATE, "messages a second")],
        goals: vec![Goal::new(tells::RATE, "plain", 0.75)],
        figures: compare(Tell::value_variants(), rounds, &["one-tell"])?,
        latency: None,
    })
}

/// One large state.
pub fn checkpoints(mib: usize, rounds: usize) -> io::Result<Section> {
    let rate = |name| Measure::more(name, "MB a second");
    let mib = mib.to_string();
    Ok(Section {
        title: "Checkpoints of a large state".into(),
        text: format!(
            "One actor of {mib} MiB that nothing compresses, three peers in one process, on one disk: its first \
             checkpoint, from the request until it is durable on all three and committed; one after a hundredth of it \
             changed, in 64 places, and what went over the network for each copy of that; and from the admission of a \
             replacement with an empty disk until the actor answers there. Then as much state again, but of a thousand \
             actors of one peer: from the admission of its replacement until the last of them runs. The floor is the \
             slower of bare quinn, to two receivers at once, and of three files that are written at once and synced; \
             for the way back, bare quinn to one; floor-large-packets is the same with packets as large as standin's. Memory is the most that the process took beyond what it began with, \
             the state itself, its encoded form and what all three stores buffer included.\n\nWhere the time goes: each \
             half of the floor alone, quinn's and the disk's, keeps both cores busy, so that on two of them what does both can \
             only be as fast as one after the other. In full, by perf, 55% of the processor's time is RocksDB's in three \
             stores, and most of that the kernel's, which copies what is written into the page cache (41% of all; the \
             floor's files cost the same). The rest is QUIC, \
             cutting (FastCDC; two parts of the state at once), hashing at both ends (blake3), and copying. Tables that are written around the page cache \
             (O_DIRECT) made it 1.45 times as fast where that was tried, but what is restored then comes from the disk \
             (dd: 360 MB a second) and no more from memory: a restore is what nobody should wait for. \
             On the way back one stream brings all of one state, and what it brings is hashed and put together before the \
             state is made of it; a thousand states come on many streams at once. Memory is the state, its encoded form \
             until that is cut and sent, and what three stores and two streams hold."
        ),
        measures: vec![
            rate(checkpoints::FULL),
            rate(checkpoints::QUINN),
            rate(checkpoints::DISK),
            rate(checkpoints::BOTH),
            rate(checkpoints::BACK),
            rate(checkpoints::THOUSAND),
            Measure::less(checkpoints::CHANGED, "s"),
            Measure::less(checkpoints::MOVED, "%"),
            Measure::less(checkpoints::MEMORY, "times"),
        ],
        goals: vec![
            Goal::new(checkpoints::FULL, "floor", 0.8),
            Goal::new(checkpoints::BACK, "floor", 0.8),
            Goal::new(checkpoints::THOUSAND, "floor", 0.7),
            Goal::new(checkpoints::MOVED, "goal", 1.0),
            Goal::new(checkpoints::MEMORY, "goal", 1.0),
        ],
        figures: with_wanted(
            compare(Keeper::value_variants(), rounds, &["one-checkpoint", &mib])?,
            &[(checkpoints::MOVED, 3.0), (checkpoints::MEMORY, 2.0)],
            rounds,
        ),
        latency: None,
    })
}

/// Beside what was measured, what is wanted where nothing else is compared with: a contender called "goal".
fn with_wanted(mut figures: Figures, wanted: &[(&str, f64)], rounds: usize) -> Figures {
    for (measure, value) in wanted {
        let name = ("goal".to_owned(), (*measure).to_owned());
        figures.insert(name, benches::Figures(vec![*value; rounds]));
    }
    figures
}

/// Many small states.
pub fn many(actors: usize, rounds: usize) -> io::Result<Section> {
    let measured = compare(Work::value_variants(), rounds, &["one-many", &actors.to_string()])?;
    let ours = measured.into_iter().map(|((_, measure), figures)| (("standin".to_owned(), measure), figures));
    let wanted = [(many::LAG, 1.0), (many::CORES, 1.0), (many::FLAT, 50_000.0), (many::BACK, 5.0)];
    let goals = wanted.map(|(measure, _)| Goal::new(measure, "goal", 1.0)).into();
    Ok(Section {
        title: "Many small actors".into(),
        text: format!(
            "{actors} actors of 200 bytes on five peers in one process, on one disk; each checkpoint is durable on \
             three of them and committed. A fifth of them changes every second, checkpoints half a second after a \
             change: how long it took at most from a change until that was committed, and how many cores \
             all of that kept busy, the changes themselves included. Flat out: all are changed and saved again and \
             again, each change answered when it is durable. All back: from the admission of a replacement with an \
             empty disk for a peer on which all of them lived, until the last runs there.\n\nWhere the time goes, by perf, flat out: \
             a fifth is the actors' and the program's own threads, an eighth RocksDB's, which write tables and merge \
             them (before copies lay in bundles it was a sixth), a ninth is applying entries, most of it the search \
             for the actor's line in five directories; a tenth is malloc's, 7% writing into the stores' logs, 4% the \
             index of copies, 3% digests; the rest is QUIC, and many small parts. All back: the replacement's control \
             thread, of which it has one on two cores, is busy from beginning to end. A third of that is making the \
             actors (half of it memory: some 4.5 kB each), a seventh QUIC, a tenth looks at the directory. The other \
             core has the holders, which read, prove and send copies, and the actors' own first steps."
        ),
        measures: vec![
            Measure::more(many::CREATED, "actors a second"),
            Measure::less(many::LAG, "s"),
            Measure::less(many::CORES, "cores"),
            Measure::more(many::FLAT, "checkpoints a second"),
            Measure::less(many::BACK, "s"),
        ],
        goals,
        figures: with_wanted(ours.collect(), &wanted, rounds),
        latency: None,
    })
}
