//! Whether the kernel can load a file: ELF with its architecture and interpreter, or a script with its `#!` line.

use std::path::Path;

use mainstay_diagnosis::facts::ExecFaultKind;
use mainstay_images::tree::{Node, TreeError};
use object::{
    Endianness, elf,
    read::elf::{FileHeader, ProgramHeader},
};

use super::{Resolved, View};

/// The headers of an ELF file and the name of its interpreter lie at its start.
const START_BYTES: u64 = 64 * 1024;

/// The kernel looks at no more of a `#!` line (`BINPRM_BUF_SIZE`).
const SCRIPT_LINE_BYTES: usize = 256;

/// A file that cannot be recognised is shown by its first bytes.
const SHOWN_BYTES: usize = 16;

/// `by_shell`: a shell runs it, which takes a text without `#!` as a script of its own.
pub(super) fn check(
    view: &View<'_>,
    node: &Node,
    by_shell: bool,
) -> Result<Option<ExecFaultKind>, TreeError> {
    let start = node.read(START_BYTES)?;
    if start.starts_with(&elf::ELFMAG) {
        return check_elf(view, &start);
    }
    match start.strip_prefix(b"#!") {
        Some(rest) => check_script(view, rest),
        None if by_shell && is_text(&start) => Ok(None),
        None => Ok(Some(unknown(&start))),
    }
}

/// As shells tell a script from a binary file that they refuse: no zero byte in the first line.
fn is_text(start: &[u8]) -> bool {
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    !line.contains(&0)
}

fn unknown(start: &[u8]) -> ExecFaultKind {
    let shown = &start[..start.len().min(SHOWN_BYTES)];
    ExecFaultKind::UnknownFormat {
        first_bytes: shown.escape_ascii().to_string(),
    }
}

fn check_elf(view: &View<'_>, start: &[u8]) -> Result<Option<ExecFaultKind>, TreeError> {
    let Some(found) = machine(start) else {
        return Ok(Some(unknown(start)));
    };
    let header = elf::FileHeader64::<Endianness>::parse(start).ok();
    if found != native_machine() {
        return Ok(Some(ExecFaultKind::WrongArchitecture {
            machine: machine_name(found),
            node: std::env::consts::ARCH.to_owned(),
        }));
    }
    let Some(interpreter) = header.and_then(|header| interpreter(header, start)) else {
        // Static, or its headers lie elsewhere: the kernel will know.
        return Ok(None);
    };
    if view.has_file(Path::new(&interpreter))? {
        return Ok(None);
    }
    Ok(Some(ExecFaultKind::InterpreterMissing { interpreter }))
}

/// `e_machine`, at the same place in 32 and 64 bit files.
fn machine(start: &[u8]) -> Option<elf::Machine> {
    let bytes = start.get(18..20)?.try_into().ok()?;
    match elf::DataEncoding(*start.get(5)?) {
        elf::ELFDATA2LSB => Some(elf::Machine(u16::from_le_bytes(bytes))),
        elf::ELFDATA2MSB => Some(elf::Machine(u16::from_be_bytes(bytes))),
        _ => None,
    }
}

fn interpreter(header: &elf::FileHeader64<Endianness>, start: &[u8]) -> Option<String> {
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, start).ok()?;
    let name = segments
        .iter()
        .find_map(|segment| segment.interpreter(endian, start).ok().flatten())?;
    Some(String::from_utf8_lossy(name).into_owned())
}

fn native_machine() -> elf::Machine {
    if cfg!(target_arch = "aarch64") {
        elf::EM_AARCH64
    } else {
        elf::EM_X86_64
    }
}

fn machine_name(machine: elf::Machine) -> String {
    match machine {
        elf::EM_386 => "x86 (32 bit)".to_owned(),
        elf::EM_X86_64 => "x86_64".to_owned(),
        elf::EM_ARM => "arm (32 bit)".to_owned(),
        elf::EM_AARCH64 => "aarch64".to_owned(),
        elf::EM_RISCV => "riscv".to_owned(),
        elf::EM_PPC64 => "ppc64".to_owned(),
        elf::EM_S390 => "s390".to_owned(),
        other => format!("ELF machine {}", other.0),
    }
}

fn check_script(view: &View<'_>, after_mark: &[u8]) -> Result<Option<ExecFaultKind>, TreeError> {
    let line = after_mark.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = &line[..line.len().min(SCRIPT_LINE_BYTES)];
    if line.ends_with(b"\r") {
        let text = String::from_utf8_lossy(line);
        return Ok(Some(ExecFaultKind::CarriageReturnInInterpreter {
            first_line: format!("#!{}", text.trim_end_matches('\r')),
        }));
    }
    let text = String::from_utf8_lossy(line);
    let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
    let Some(interpreter) = words.next() else {
        return Ok(Some(unknown(b"#!")));
    };
    let missing = |name: &str| {
        Some(ExecFaultKind::InterpreterMissing {
            interpreter: name.to_owned(),
        })
    };
    if !view.has_file(&view.working_dir.join(interpreter))? {
        return Ok(missing(interpreter));
    }
    // `env` is there nearly always; what it is to find may not be.
    if Path::new(interpreter)
        .file_name()
        .is_some_and(|name| name == "env")
    {
        let program = words.find(|word| !word.starts_with('-') && !word.contains('='));
        if let Some(program) = program
            && !matches!(view.resolve(program)?, Ok(Resolved::File(_) | Resolved::Unknown))
        {
            return Ok(missing(program));
        }
    }
    Ok(None)
}
