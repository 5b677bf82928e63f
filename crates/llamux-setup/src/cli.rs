// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The command line: reads the machine, says what was found, and writes what was decided.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{bail, Context as _, Result};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use llamux_usage::complain;

use crate::choice::{self, Fit};
use crate::conf::{self, Conf};
use crate::machine::Machine;
use crate::memory::{boot_mb, mebibytes, parse_size, reserved_mb, taken_mb, Place, REST_MB};
use crate::models::{self, Model};
use crate::{apply, boot_loader, files, head, initramfs};

/// What has mkinitcpio run our hook, whatever else its configuration says.
const MKINITCPIO: &str = "etc/mkinitcpio.conf.d/llamux.conf";
/// What is in it.
///
/// `HOOKS` of mkinitcpio.conf may still be one text, with blanks in it: a word that was added to that would leave the
/// images with no hook but ours.
const MKINITCPIO_TEXT: &str = "\
# Written by llamux-setup: puts the model of /etc/llamux.conf into the initramfs of kernels with Llamux.
HOOKS=(${HOOKS[*]} llamux)
";

/// Says what this machine can run, and configures Llamux
///
/// It lists the models with the memory that they need, chooses the one for this machine, and, when asked, writes
/// /etc/llamux.conf and prints the words that the kernel's command line needs. See llamux-setup(8).
#[derive(Debug, Parser)]
#[command(name = "llamux-setup", version, max_term_width = 100)]
pub struct Cli {
    /// The options of a configuration.
    #[command(flatten)]
    pub options: Options,
    /// Anything else.
    #[command(subcommand)]
    pub action: Option<Action>,
    /// Works on the system below DIR, such as one that is being installed
    #[arg(long, value_name = "DIR", default_value = "/", global = true)]
    pub root: PathBuf,
}

/// Options of a configuration.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub struct Options {
    /// The model: its name, or the path of a GGUF file [default: the largest that fits well]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Memory to reserve, as in 300M or 2G [default: what the model needs]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub memory: Option<u64>,
    /// Where the model is at boot: head, archive or no; see llamux.conf(5)
    #[arg(long, value_name = "PLACE")]
    pub in_initramfs: Option<Place>,
    /// Also puts the words into the files of the boot loaders that are found, and keeps the old ones
    #[arg(long)]
    pub boot_loader: bool,
    /// Does not ask before it writes
    #[arg(long, short)]
    pub yes: bool,
    /// Only says what it would write
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}

/// What other programs ask for.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Prints the words that the kernel's command line needs, as /etc/llamux.conf has it
    Cmdline,
    /// Writes the settings of /etc/llamux.conf to /sys/kernel/llamux, and loads its further models
    Apply,
    /// Prints which files are to go into the initramfs IMAGE: a line "head FILE", or lines "archive FILE"
    Initramfs {
        /// Where the initramfs will be
        image: PathBuf,
    },
    /// Puts the model FILE in front of the initramfs IMAGE, where the kernel uses it without a copy
    Head {
        /// The model
        file: PathBuf,
        /// The initramfs
        image: PathBuf,
    },
}

impl Cli {
    /// Refuses options that a command would do nothing with. Clap could, but `--root` is for both.
    fn check(&self) -> Result<(), clap::Error> {
        if self.action.is_none() || self.options == Options::default() {
            return Ok(());
        }
        let message = "a command takes no option but --root";
        Err(Self::command().error(ErrorKind::ArgumentConflict, message))
    }
}

/// The program. Clap ends it by itself for `--help`, `--version` (0) and wrong usage (2).
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = cli.check() {
        error.exit();
    }
    let done = match &cli.action {
        None => configure(&cli.root, &cli.options),
        Some(Action::Cmdline) => cmdline(&cli.root),
        Some(Action::Apply) => {
            Conf::read(&cli.root).and_then(|conf| apply::apply(&cli.root, &conf))
        }
        Some(Action::Initramfs { image }) => plan(&cli.root, image),
        Some(Action::Head { file, image }) => {
            Model::of_file(file).and_then(|model| head::prepend(&model, image))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain!("llamux-setup: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints, and is content if nobody reads on.
fn print(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output")
        }
        _ => Ok(()),
    }
}

fn plan(root: &Path, image: &Path) -> Result<()> {
    let conf = Conf::read(root)?;
    let machine = Machine::read(root).ok();
    let mut warn = |warning| complain!("llamux-setup: {warning}");
    let plan = initramfs::plan(root, &conf, image, machine.as_ref(), &mut warn)?;
    let Some(plan) = plan else { return Ok(()) };
    let mut text = String::new();
    for file in &plan.model.files {
        writeln!(text, "{} {}", plan.place, file.display())?;
    }
    print(&text)
}

fn cmdline(root: &Path) -> Result<()> {
    let conf = Conf::read(root)?;
    print(&format!("{}\n", words(root, &conf)?.join(" ")))
}

/// The words for a configuration, whose models are looked up.
fn words(root: &Path, conf: &Conf) -> Result<Vec<String>> {
    let place = initramfs::place(root, conf)?;
    let mut warn = |warning| complain!("llamux-setup: {warning}");
    let model = match (&conf.model, place) {
        // What llamux.service loads has a name.
        (None, Place::Disk) => None,
        _ => initramfs::model(root, conf, &mut warn)?,
    };
    let more: Vec<_> = conf
        .load
        .iter()
        .map(|name| Model::find(root, name))
        .collect::<Result<_>>()?;
    Ok(boot_loader::words(conf, model.as_ref(), place, &more))
}

fn configure(root: &Path, options: &Options) -> Result<()> {
    let old = Conf::read(root)?;
    // A system that is being installed runs on this machine.
    let there = root.join("proc/meminfo").exists();
    let machine = Machine::read(if there { root } else { Path::new("/") })?;
    let place = match options.in_initramfs {
        Some(place) => place,
        None => initramfs::place(root, &old)?,
    };
    let (installed, complaints) = models::installed(root);
    for complaint in complaints {
        complain!("llamux-setup: {complaint}");
    }
    print(&report(&machine, &installed, place))?;

    let model = match &options.model {
        Some(name) => Model::find(root, name)?,
        None => {
            let sizes: Vec<_> = installed.iter().map(|model| model.bytes).collect();
            let chosen = choice::choose(&machine, &sizes, place).and_then(|at| installed.get(at));
            chosen
                .cloned()
                .with_context(|| no_choice(&machine, &installed, place))?
        }
    };
    if let Fit::Not(needed) = choice::fit(&machine, model.bytes, place) {
        bail!(
            "{} does not fit: it needs {needed} MiB of memory with IN_INITRAMFS={place}, and this machine has {}",
            model.name,
            machine.memory_mb
        );
    }
    let name = match &options.model {
        Some(path) if path.starts_with('/') => path.clone(),
        _ => model.name.clone(),
    };
    let mut values = vec![("MODEL", name), ("IN_INITRAMFS", place.to_string())];
    if let Some(memory_mb) = options.memory {
        values.push(("MEMORY", format!("{memory_mb}M")));
    }
    let path = root.join(conf::PATH);
    let text = files::read_if_there(&path)?.unwrap_or_default();
    let text = conf::with(&text, &values);
    let new = Conf::parse(&text)?;
    let words = words(root, &new)?;
    let needed = reserved_mb(model.bytes, place);
    if let Some(memory_mb) = new.memory_mb.filter(|&memory_mb| memory_mb < needed) {
        complain!(
            "llamux-setup: MEMORY={memory_mb}M is less than the {needed} MiB that {} needs",
            model.name
        );
    }

    let mut said = format!("\n{} will say:\n", path.display());
    for (key, value) in &values {
        writeln!(said, "  {key}={value}")?;
    }
    let hook = root.join(MKINITCPIO);
    let with_hook = place != Place::Disk && root.join("usr/bin/mkinitcpio").exists();
    let with_hook = with_hook && files::read_if_there(&hook)?.as_deref() != Some(MKINITCPIO_TEXT);
    if with_hook {
        writeln!(
            said,
            "{} will have mkinitcpio run the hook llamux.",
            hook.display()
        )?;
    }
    let changes = match options.boot_loader {
        true => boot_loader::changes(root, &words, place)?,
        false => Vec::new(),
    };
    for change in &changes {
        writeln!(said, "{} will say:", change.path.display())?;
        for line in change.text.lines().filter(|line| line.contains("llamux")) {
            writeln!(said, "  {line}")?;
        }
    }
    print(&said)?;
    if options.dry_run {
        return print(&format!(
            "\nThe kernel's command line would need: {}\n",
            words.join(" ")
        ));
    }
    if !options.yes && !agreed()? {
        return print("Nothing was written.\n");
    }
    files::replace_text(&path, &text, false)?;
    if with_hook {
        files::replace_text(&hook, MKINITCPIO_TEXT, false)?;
    }
    let mut then = Vec::new();
    if place != Place::Disk && root.join("usr/bin/mkinitcpio").exists() {
        then.push("mkinitcpio -P");
    } else if place != Place::Disk {
        then.push("update-initramfs -u -k all");
    }
    for change in &changes {
        files::replace_text(&change.path, &change.text, true)?;
        then.extend(change.then.filter(|&then| !then.is_empty()));
    }
    if place == Place::Disk || !new.load.is_empty() {
        then.push("systemctl enable llamux");
    }
    then.dedup();
    let mut said = format!(
        "\nWritten. The kernel's command line needs: {}\n",
        words.join(" ")
    );
    if options.boot_loader && changes.is_empty() {
        said += "No file of a boot loader had to be changed.\n";
    }
    if !then.is_empty() {
        writeln!(said, "Now run: {}", then.join("; "))?;
    }
    print(&said)
}

/// Whether somebody at a terminal agrees.
fn agreed() -> Result<bool> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        bail!("there is nobody to ask: give --yes, or --dry-run");
    }
    print("Write this? [Y/n] ")?;
    io::stdout().flush()?;
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    // The end of the input is no answer.
    Ok(match line.trim() {
        "" => !line.is_empty(),
        answer => answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"),
    })
}

/// Why there is no model to choose.
fn no_choice(machine: &Machine, installed: &[Model], place: Place) -> String {
    if !installed.is_empty() {
        return format!(
            "no model that is installed fits into {} MiB",
            machine.memory_mb
        );
    }
    let packaged: Vec<_> = models::known()
        .into_iter()
        .filter(|known| known.package.is_some())
        .collect();
    let sizes: Vec<_> = packaged.iter().map(|known| known.bytes).collect();
    match choice::choose(machine, &sizes, place).and_then(|at| packaged.get(at)) {
        Some(known) => format!(
            "no model is installed: for this machine, install the package {}",
            known.package.as_deref().unwrap_or_default()
        ),
        None => format!("no model fits into {} MiB", machine.memory_mb),
    }
}

/// What is known of the machine, and of each model.
fn report(machine: &Machine, installed: &[Model], place: Place) -> String {
    let mut rows: Vec<(String, u64, String)> = installed
        .iter()
        .map(|model| (model.name.clone(), model.bytes, "installed".to_owned()))
        .collect();
    for known in models::known() {
        if let (Some(package), false) = (known.package, rows.iter().any(|row| row.0 == known.name))
        {
            rows.push((known.name, known.bytes, format!("in the package {package}")));
        }
    }
    let width = rows.iter().map(|row| row.0.len()).max().unwrap_or(0);
    let mut text = format!(
        "{} MiB of memory, {} processor{} {}, {}\n",
        machine.memory_mb,
        machine.processors,
        if machine.processors == 1 { "" } else { "s" },
        machine.processor,
        machine.instructions.about()
    );
    text += &match &machine.state {
        Some(state) => {
            format!("The running kernel has Llamux; the model's state is \"{state}\".\n")
        }
        None => "The running kernel has no Llamux: boot the one of the package linux-llamux.\n"
            .to_owned(),
    };
    text += &format!("\nModels, with IN_INITRAMFS={place}:\n");
    for (name, bytes, from) in rows {
        let fits = match choice::fit(machine, bytes, place) {
            Fit::Well => "fits".to_owned(),
            Fit::Barely => "fits, and takes more than half of the memory".to_owned(),
            Fit::Not(needed) => {
                format!("too large: {needed} MiB would do, with {REST_MB} for the rest")
            }
        };
        let taken = taken_mb(bytes, place);
        let boot = match boot_mb(bytes, place) {
            boot if boot > taken => format!(" ({boot} at boot)"),
            _ => String::new(),
        };
        text += &format!(
            "  {name:width$}  {:>5} MiB, {from}: takes {taken} MiB{boot}; {fits}\n",
            mebibytes(bytes)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::testing::Dir;
    use crate::machine::tests::{recorded, RECORDED};
    use anyhow::anyhow;

    /// A system of a recorded machine.
    fn system(name: &str, at: usize) -> Dir {
        let dir = Dir::new(name);
        dir.write("proc/meminfo", RECORDED[at].0);
        dir.write("proc/cpuinfo", RECORDED[at].1);
        dir.write("usr/bin/mkinitcpio", "");
        dir
    }

    fn run(dir: &Dir, args: &[&str]) -> Result<()> {
        let words = ["llamux-setup"].iter().chain(args);
        let cli = Cli::try_parse_from(words).map_err(|error| anyhow!("{error}"))?;
        configure(&dir.0, &cli.options)
    }

    #[test]
    fn table_is_sound() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["llamux-setup", "--yes", "--dry-run"]).is_err());
        assert!(Cli::try_parse_from(["llamux-setup", "--in-initramfs", "yes"]).is_err());
        for (words, good) in [
            ("llamux-setup cmdline --root /mnt", true),
            ("llamux-setup --root /mnt cmdline", true),
            ("llamux-setup --yes cmdline", false),
            ("llamux-setup --model a head b c", false),
        ] {
            let cli = Cli::try_parse_from(words.split(' ')).unwrap();
            assert_eq!(cli.check().is_ok(), good, "{words}");
        }
    }

    #[test]
    fn the_page_has_every_option_and_command() {
        let page = include_str!("../../../packaging/tools/usr/share/man/man8/llamux-setup.8")
            .replace('\\', "");
        let command = Cli::command();
        for arg in command.get_arguments() {
            if let Some(long) = arg.get_long() {
                assert!(page.contains(&format!("--{long}")), "--{long}");
            }
        }
        for sub in command.get_subcommands() {
            assert!(
                page.contains(&format!(".BR llamux-setup\\~{}", sub.get_name()).replace('\\', "")),
                "{}",
                sub.get_name()
            );
        }
    }

    #[test]
    fn a_machine_without_models_is_told_what_to_install() {
        let dir = system("cli-none", 1);
        let error = run(&dir, &["--yes"]).unwrap_err().to_string();
        assert!(error.contains("llamux-model-tinyllama"), "{error}");
        assert!(!dir.0.join(conf::PATH).exists());
        let dir = system("cli-small", 2);
        let error = run(&dir, &["--yes"]).unwrap_err().to_string();
        assert!(error.contains("llamux-model-smollm2"), "{error}");
    }

    #[test]
    fn the_configuration_is_written_when_that_is_agreed() {
        let dir = system("cli-write", 1);
        dir.write("usr/lib/firmware/llamux/a.gguf", "GGUF");
        dir.write(conf::PATH, "# mine\n#MODEL=\nCMDLINE=quiet\n");
        run(&dir, &["--dry-run"]).unwrap();
        let conf = Conf::read(&dir.0).unwrap();
        assert_eq!(conf.model, None);
        // The only one that is installed is in the initramfs.
        let all = words(&dir.0, &conf).unwrap().join(" ");
        assert_eq!(all, "llamux_mem=192M llamux.model=a quiet");
        run(&dir, &["--yes"]).unwrap();
        let conf = Conf::read(&dir.0).unwrap();
        assert_eq!(conf.model.as_deref(), Some("a"));
        assert_eq!(conf.place, Some(Place::Head));
        assert!(dir.0.join(MKINITCPIO).exists());
        let all = words(&dir.0, &conf).unwrap().join(" ");
        assert_eq!(all, "llamux_mem=192M llamux.model=a quiet");
        run(&dir, &["--yes", "--memory", "1G", "--in-initramfs", "no"]).unwrap();
        let conf = Conf::read(&dir.0).unwrap();
        assert_eq!(
            words(&dir.0, &conf).unwrap().join(" "),
            "llamux_mem=1024M quiet"
        );
    }

    #[test]
    fn our_hook_is_added_to_those_that_there_are() {
        for hooks in ["(base udev)", "\"base udev\"", "'base udev'"] {
            let script = format!("HOOKS={hooks}\n{MKINITCPIO_TEXT}printf '%s,' \"${{HOOKS[@]}}\"");
            let mut bash = std::process::Command::new("bash");
            let said = bash.args(["-c", &script]).output().unwrap().stdout;
            assert_eq!(
                String::from_utf8_lossy(&said),
                "base,udev,llamux,",
                "{hooks}"
            );
        }
    }

    #[test]
    fn the_boot_loader_is_changed_when_that_is_asked_for() {
        let dir = system("cli-boot", 1);
        dir.write("usr/lib/firmware/llamux/a.gguf", "GGUF");
        let cmdline = dir.write("etc/kernel/cmdline", "rw\n");
        run(&dir, &["--yes"]).unwrap();
        assert_eq!(std::fs::read_to_string(&cmdline).unwrap(), "rw\n");
        run(&dir, &["--yes", "--boot-loader"]).unwrap();
        let text = std::fs::read_to_string(&cmdline).unwrap();
        assert_eq!(text, "rw llamux_mem=192M llamux.model=a\n");
        let kept = files::beside(&cmdline, ".llamux-old");
        assert_eq!(std::fs::read_to_string(kept).unwrap(), "rw\n");
    }

    #[test]
    fn a_model_that_does_not_fit_is_refused_with_numbers() {
        let dir = system("cli-large", 2);
        let file = dir.write("var/lib/llamux/large.gguf", "GGUF");
        std::fs::File::options()
            .write(true)
            .open(file)
            .unwrap()
            .set_len(1 << 30)
            .unwrap();
        let error = run(&dir, &["--yes", "--model", "large"])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("needs 2048 MiB") && error.contains("979"),
            "{error}"
        );
        let error = run(&dir, &["--yes"]).unwrap_err().to_string();
        assert!(error.contains("no model that is installed fits"), "{error}");
    }

    #[test]
    fn the_report_has_numbers() {
        let model = Model {
            name: "mine".to_owned(),
            files: Vec::new(),
            bytes: 1 << 30,
        };
        let text = report(&recorded(0), &[model], Place::Archive);
        for part in [
            "3818 MiB of memory, 2 processors",
            "very slow",
            "1024 MiB, installed: takes 1536 MiB (3584 at boot); too large: 4096 MiB would do",
            "in the package llamux-model-smollm2: takes 286 MiB (474 at boot); fits",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
