//! All comparisons, as one text with pictures.

use std::io;
use std::path::{Path, PathBuf};

use benches::{Growth, Section, conditions, latencies, lines, plot};
use clap::{Args, ValueEnum};

use crate::common::name;
use crate::local::{Contender, Shape};
use crate::remote::Carrier;
use crate::{VOTERS, commits, premium, scale, sections};

#[derive(Args)]
pub struct Everything {
    /// Of messages within a process.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Of what takes longer.
    #[arg(long, default_value_t = 3)]
    long_rounds: usize,
    /// One round of everything, smaller, without what takes long by itself.
    #[arg(long)]
    quick: bool,
    /// Writes RESULTS.md and plots into this directory, instead of showing the results.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// How large everything is.
struct Sizes {
    messages: usize,
    rounds: usize,
    mib: usize,
    actors: usize,
    /// The graph of a job has two to the power of this nodes.
    graph: u32,
    voters: &'static [usize],
    carriers: Vec<Carrier>,
}

impl Sizes {
    fn of(wanted: &Everything) -> Self {
        if wanted.quick {
            let without_kameo =
                Carrier::value_variants().iter().copied().filter(|who| *who != Carrier::Kameo);
            return Self {
                messages: 1,
                rounds: 1,
                mib: 128,
                actors: 10_000,
                graph: 14,
                voters: &VOTERS[..1],
                carriers: without_kameo.collect(),
            };
        }
        Self {
            messages: wanted.rounds,
            rounds: wanted.long_rounds,
            mib: 1024,
            actors: 100_000,
            graph: 20,
            voters: &VOTERS,
            carriers: Carrier::value_variants().to_vec(),
        }
    }
}

pub fn all(wanted: &Everything) -> io::Result<()> {
    let sizes = Sizes::of(wanted);
    let sections = compare(&sizes)?;
    eprintln!("scale");
    let growths = scale::sections(sizes.rounds, wanted.quick)?;
    let mut text = format!(
        "# Results\n\nWritten by `make bench`. Every contender runs in a process of its own, in turn (A, B, C, A, B, \
         C, ...), for {} rounds (messages within a process) or {} (the rest), each of several after one that does not count. A ratio is the median of \
         the ratios of each round; only ratios say anything about another machine. One of 1.00 is as good as what it \
         is compared with, a higher one is better, also where less is better. A contender called goal is what is \
         wanted where nothing else is compared with.\n\n{}\n\n\
         ![how good, compared with the floor](plots/messages.svg)\n\n",
        sizes.messages,
        sizes.rounds,
        conditions(),
    );
    sections.iter().try_for_each(|section| section.write(&mut text)).map_err(io::Error::other)?;
    text.push_str(&text_of(&growths)?);
    let Some(dir) = &wanted.out else {
        print!("{text}");
        return Ok(());
    };
    draw(&growths, dir)?;
    for section in &sections {
        let Some((what, picture)) = section.latency else { continue };
        std::fs::write(dir.join("plots").join(picture), latencies(section, what))?;
    }
    std::fs::write(dir.join("plots/messages.svg"), plot(&sections))?;
    std::fs::write(dir.join("RESULTS.md"), format!("{}\n", text.trim_end()))
}

fn compare(sizes: &Sizes) -> io::Result<Vec<Section>> {
    let (messages, rounds) = (sizes.messages, sizes.rounds);
    let mut sections = Vec::new();
    // Shown at once as well: a later one that fails takes nothing along.
    let mut keep = |section: Section| {
        let mut text = String::new();
        section.write(&mut text).map_err(io::Error::other)?;
        eprint!("{text}");
        sections.push(section);
        io::Result::Ok(())
    };
    for shape in Shape::value_variants() {
        eprintln!("{}: {messages} rounds", name(*shape));
        keep(sections::local(*shape, Contender::value_variants(), messages)?)?;
    }
    eprintln!("remote: {rounds} rounds");
    keep(sections::remote(&sizes.carriers, rounds)?)?;
    eprintln!("tells: {rounds} rounds");
    keep(sections::tells(rounds)?)?;
    eprintln!("checkpoints: {rounds} rounds");
    keep(sections::checkpoints(sizes.mib, rounds)?)?;
    eprintln!("many: {rounds} rounds");
    keep(sections::many(sizes.actors, rounds)?)?;
    for voters in sizes.voters {
        eprintln!("commits, {voters} voters: {rounds} rounds");
        keep(commits::section(*voters, rounds)?)?;
    }
    eprintln!("premium: {rounds} rounds");
    keep(premium::section(sizes.graph, rounds)?)?;
    Ok(sections)
}

/// As Markdown.
pub fn text_of(growths: &[Growth]) -> io::Result<String> {
    let mut text = String::new();
    growths.iter().try_for_each(|growth| growth.write(&mut text)).map_err(io::Error::other)?;
    Ok(text)
}

/// As pictures in a directory.
pub fn draw(growths: &[Growth], dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir.join("plots"))?;
    let one = |growth: &Growth| std::fs::write(dir.join("plots").join(growth.plot), lines(growth));
    growths.iter().try_for_each(one)
}
