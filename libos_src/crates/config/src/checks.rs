//! Checks that a type alone cannot make.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::ConfigError;
use crate::launch::is_under;
use crate::model::{Config, Environment, HostArguments, Image, Mount};

const VERSION: u32 = 1;
const PAGE_SIZE_BYTES: u64 = 4096;
/// Larger than any enclave: the ELRANGE has fewer than 48 address bits.
const SIZE_MAX_BYTES: u64 = 1 << 47;
/// Thread blocks are at least 64 KiB apart, so more never fit.
const THREADS_MAX: u32 = 65_536;
/// `PATH_MAX`, with the terminating zero.
const PATH_MAX_BYTES: usize = 4096;

type Checked = Result<(), ConfigError>;

/// Checks a configuration as a whole.
pub(crate) fn check(config: &Config) -> Checked {
    require(config.version == VERSION, "version", "must be 1")?;
    let threads = config.threads.max;
    require(
        (1..=THREADS_MAX).contains(&threads),
        "threads.max",
        "must be from 1 to 65536",
    )?;
    check_memory(config)?;
    for (index, path) in config.entry_points.iter().enumerate() {
        check_path(&format!("entry_points[{index}]"), path)?;
    }
    check_process(config)?;
    check_environment(&config.environment)?;
    check_mounts(&config.mounts)
}

fn check_memory(config: &Config) -> Checked {
    let user_space = config.memory.user_space_size_bytes;
    check_size("memory.user_space_size", user_space)?;
    let process = &config.process;
    check_size("process.default_stack_size", process.stack_size_bytes)?;
    let parts = [
        ("process.default_stack_size", process.stack_size_bytes),
        ("process.default_heap_size", process.heap_size_bytes),
        ("process.default_mmap_size", process.mmap_size_bytes),
    ];
    let mut sum = 0;
    for (field, size) in parts {
        // Zero means that there is none: a heap or mappings that programs do without.
        if size != 0 {
            check_size(field, size)?;
        }
        sum += size;
        require(
            sum <= user_space,
            field,
            "and the sizes before it exceed `memory.user_space_size`",
        )?;
    }
    Ok(())
}

fn check_process(config: &Config) -> Checked {
    let process = &config.process;
    match process.command.first() {
        Some(program) => {
            check_path("process.command[0]", program)?;
            let is_allowed = config.is_entry_point(program);
            require(
                is_allowed,
                "process.command[0]",
                "must lie under an entry point",
            )?;
        }
        None => {
            let is_given = process.host_arguments == HostArguments::Replace;
            require(is_given, "process.command", "must name a program")?;
        }
    }
    for (index, argument) in process.command.iter().enumerate() {
        check_text(&format!("process.command[{index}]"), argument)?;
    }
    for (index, name) in process.host_signals.iter().enumerate() {
        let field = format!("process.host_signals[{index}]");
        require(
            HOST_SIGNALS.contains(&name.as_str()),
            field,
            "names no signal that the host may send",
        )?;
    }
    check_path("process.working_directory", &process.working_directory)
}

/// What a host may be allowed to send: nothing that reports what an instruction did.
const HOST_SIGNALS: [&str; 13] = [
    "SIGCONT", "SIGHUP", "SIGINT", "SIGIO", "SIGPWR", "SIGQUIT", "SIGTERM", "SIGTSTP", "SIGTTIN",
    "SIGTTOU", "SIGUSR1", "SIGUSR2", "SIGWINCH",
];

fn check_environment(environment: &Environment) -> Checked {
    let mut names = Vec::new();
    for (index, variable) in environment.default.iter().enumerate() {
        let field = format!("env.default[{index}]");
        check_text(&field, variable)?;
        let name = variable.split_once('=').map_or("", |(name, _)| name);
        require(
            !name.is_empty(),
            field.clone(),
            "must have the form NAME=value",
        )?;
        require(!names.contains(&name), field, "sets a variable twice")?;
        names.push(name);
    }
    for (index, name) in environment.untrusted.iter().enumerate() {
        let field = format!("env.untrusted[{index}]");
        check_text(&field, name)?;
        require(
            !name.is_empty() && !name.contains('='),
            field.clone(),
            "must be a name",
        )?;
        require(
            !names.contains(&name.as_str()),
            field,
            "names a variable twice",
        )?;
        names.push(name);
    }
    Ok(())
}

fn check_mounts(mounts: &[Mount]) -> Checked {
    let root = mounts.first().map(Mount::target);
    require(
        root == Some("/"),
        "mount[0].target",
        "must be `/`, the root",
    )?;
    let mut targets: Vec<&str> = Vec::new();
    let mut images: Vec<&Image> = Vec::new();
    for (index, mount) in mounts.iter().enumerate() {
        let field = |name: &str| format!("mount[{index}].{name}");
        let target = mount.target();
        check_path(&field("target"), target)?;
        require(
            !targets.contains(&target),
            field("target"),
            "is a mount point twice",
        )?;
        let hides = targets.iter().any(|earlier| is_under(earlier, target));
        require(!hides, field("target"), "would hide a mount before it")?;
        targets.push(target);
        if let Mount::Tmpfs { size_bytes, .. } | Mount::Unionfs { size_bytes, .. } = mount {
            let is_size = (1..=SIZE_MAX_BYTES).contains(size_bytes);
            require(is_size, field("size"), "must be positive and below 2^47")?;
        }
        if let Mount::Hostfs { source, .. } = mount {
            let is_path = !source.is_empty() && source.len() < PATH_MAX_BYTES;
            require(is_path, field("source"), "must be a path")?;
            check_text(&field("source"), source)?;
        }
        if let Some(image) = mount.image() {
            check_image(image, &field("image"))?;
            let is_repeated = images
                .iter()
                .any(|other| other.index == image.index && *other != image);
            require(
                !is_repeated,
                field("image.index"),
                "belongs to another image",
            )?;
            images.push(image);
        }
    }
    Ok(())
}

fn check_image(image: &Image, field: &str) -> Checked {
    require(
        !image.name.is_empty(),
        format!("{field}.name"),
        "must not be empty",
    )?;
    check_text(&format!("{field}.name"), &image.name)?;
    check_size(&format!("{field}.data_size"), image.data_size_bytes)?;
    check_size(&format!("{field}.tree_offset"), image.tree_offset_bytes)?;
    let is_behind = image.tree_offset_bytes >= image.data_size_bytes;
    require(
        is_behind,
        format!("{field}.tree_offset"),
        "must not lie in the data",
    )
}

/// A size in whole pages.
fn check_size(field: &str, size_bytes: u64) -> Checked {
    let is_size =
        (1..=SIZE_MAX_BYTES).contains(&size_bytes) && size_bytes.is_multiple_of(PAGE_SIZE_BYTES);
    require(
        is_size,
        field,
        "must be a positive multiple of 4096 below 2^47",
    )
}

/// An absolute path without `.`, `..`, empty components and a slash at its end.
fn check_path(field: &str, path: &str) -> Checked {
    check_text(field, path)?;
    let components = path.strip_prefix('/').map(|rest| rest.split('/'));
    let is_normal = components.is_some_and(|mut components| {
        path == "/" || components.all(|name| !matches!(name, "" | "." | "..") && name.len() <= 255)
    });
    let is_short = path.len() < PATH_MAX_BYTES;
    require(
        is_normal && is_short,
        field,
        "must be an absolute path in its shortest form",
    )
}

/// Text that C programs can be given.
fn check_text(field: &str, text: &str) -> Checked {
    require(!text.contains('\0'), field, "must not contain a zero byte")
}

fn require(holds: bool, field: impl Into<String>, problem: &'static str) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(ConfigError::value(field, problem))
    }
}
