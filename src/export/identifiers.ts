// Names that users and models give (`layer1.0.conv1`, `../x`, `module`, `é`, nothing at all) as identifiers of Verilog,
// SystemVerilog, C, C++ and Python at once, which are harmless file names too.
// Invariant: what comes out is [A-Za-z][A-Za-z0-9_]*, at most 63 characters, no keyword of any of these languages in
// any case, without two underscores in a row (C++ reserves them), and within a set no two are equal in any case (some
// file systems know no case).

const MOST = 63;

/** Keywords in lower case of Verilog, SystemVerilog 2017, C23, C++23 and Python 3; and what no file may be called. */
const RESERVED = new Set(
  `accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind bins binsof bit
  break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config const constraint context continue
  cover covergroup coverpoint cross deassign default defparam design disable dist do edge else end endcase endchecker endclass
  endclocking endconfig endfunction endgenerate endgroup endinterface endmodule endpackage endprimitive endprogram endproperty
  endsequence endspecify endtable endtask enum event eventually expect export extends extern final first_match for force foreach
  forever fork forkjoin function generate genvar global highz0 highz1 if iff ifnone ignore_bins illegal_bins implements implies
  import incdir include initial inout input inside instance int integer interconnect interface intersect join join_any join_none
  large let liblist library local localparam logic longint macromodule matches medium modport module nand negedge nettype new
  nexttime nmos nor noshowcancelled not notif0 notif1 null or output package packed parameter pmos posedge primitive priority
  program property protected pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase
  randsequence rcmos real realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1 s_always
  s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled signed small soft solve specify
  specparam static string strong strong0 strong1 struct super supply0 supply1 sync_accept_on sync_reject_on table tagged task this
  throughout time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union unique unique0
  unsigned until until_with untyped use uwire var vectored virtual void wait wait_order wand weak weak0 weak1 while wildcard wire
  with within wor xnor xor
  alignas alignof asm atomic_cancel atomic_commit atomic_noexcept auto bitand bitor bool catch char char16_t char32_t char8_t
  co_await co_return co_yield compl complex concept consteval constexpr constinit const_cast decltype delete double dynamic_cast
  errno explicit false float friend goto imaginary inline long main mutable namespace noexcept not_eq nullptr operator or_eq
  private public reflexpr register reinterpret_cast requires restrict short size_t sizeof static_assert static_cast switch
  synchronized template thread_local throw true try typeid typename typeof typeof_unqual using volatile wchar_t and_eq xor_eq
  as async await def del elif except exec from global in is lambda none nonlocal pass print raise self yield match
  aux con nul prn`.split(/\s+/),
);

/** What the C library takes for itself: `int8_t`, `uint32_t`, `com1` and `lpt1` of one file system besides. */
const RESERVED_SHAPE = /^(?:u?int(?:_least|_fast)?\d+_t|u?int(?:max|ptr)_t|ptrdiff_t|ssize_t|com\d|lpt\d)$/;

/** The name as an identifier; `empty` where nothing of it is left. Two names may give one: see `Identifiers`. */
export function identifierOf(name: string, empty = 'unnamed'): string {
  const letters = name
    .slice(0, 4 * MOST)
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '');
  const plain = letters
    .replaceAll(/[^A-Za-z0-9]+/g, '_')
    .replaceAll(/^_|_$/g, '')
    .slice(0, MOST);
  if (plain === '') return empty;
  const first = /^[A-Za-z]/.test(plain) ? plain : `m_${plain}`;
  const lower = first.toLowerCase();
  const usable = RESERVED.has(lower) || RESERVED_SHAPE.test(lower) ? `${first}_m` : first;
  return usable.slice(0, MOST).replace(/_$/, '');
}

/** A set of identifiers in which every one is unique; the first that asks for a name has it plain. */
export class Identifiers {
  readonly #taken = new Set<string>();

  /** `taken`: identifiers that are in use already. */
  constructor(taken: Iterable<string> = []) {
    for (const one of taken) this.#taken.add(one.toLowerCase());
  }

  /** A new identifier for the name: `conv1`, and where that is taken `conv1_2`, `conv1_3`. */
  add(name: string, empty = 'unnamed'): string {
    const wanted = identifierOf(name, empty);
    let identifier = wanted;
    for (let n = 2; this.#taken.has(identifier.toLowerCase()); n++) {
      const suffix = `_${n}`;
      identifier = `${wanted.slice(0, MOST - suffix.length).replace(/_$/, '')}${suffix}`;
    }
    this.#taken.add(identifier.toLowerCase());
    return identifier;
  }
}

/** Identifiers of names, in their order, each unique among them. */
export function identifiersOf(names: readonly string[], taken: Iterable<string> = []): string[] {
  const all = new Identifiers(taken);
  return names.map((name) => all.add(name));
}
