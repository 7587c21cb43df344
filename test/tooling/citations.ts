/**
 * Citations that lead nowhere: in comments, in Markdown and in the comments of YAML, shell and Docker
 * files. Whoever follows one must arrive. Three kinds are checked:
 *
 *   a rule     D1 is a rule of src/README.md, P1 one of test/property/README.md. A section number, or the
 *              design as such, is no citation: that text is not in the repository
 *   a file     `select.ts`, `paths/select.ts`, `src/paths/select.ts`: beside the file that cites it, or the
 *              end of the path of a file. Of several the nearest one is meant; two that are as near are a
 *              question. Braces and stars are spelt out
 *   a link     of Markdown: the file is there, and so is the heading
 *
 * JSON and YAML files are checked where the citation begins with a folder of the repository: bare names
 * (node.json) are mostly those of files that exist at run time. A block of code in Markdown is a drawing
 * or a session, not a citation.
 *
 * Pure: the tree is passed in.
 */

/** Path below the repository → text; empty where only the name counts. */
export type Tree = ReadonlyMap<string, string>;

export interface DeadCitation {
  readonly file: string;
  readonly line: number;
  readonly citation: string;
  readonly why: string;
}

/** Where the rules of each letter are defined. */
const RULES: Readonly<Record<string, string>> = {
  D: 'src/README.md',
  P: 'test/property/README.md',
};

const TOP_FOLDERS = ['src', 'test', 'charts', 'deploy', 'proto', '.ci'];
const COMMENTED = /\.(ya?ml|sh|tpl)$|(^|\/)Dockerfile$|^\.ci\//;

/** A file of a kind that only a repository has. */
const FILE = /(?:[\w.@*{},-]+\/)*[\w.*{},-]*[\w*}]\.(?:tsx?|mjs|js|md|proto)\b(?!\.)/g;
/** Any file or folder, with a folder of ours in front. */
const ROOTED = new RegExp(
  `(?<![\\w/.-])(?:\\.{1,2}/)*(?:${TOP_FOLDERS.join('|').replaceAll('.', '\\.')})/[\\w.*{},/-]*[\\w*}/]`,
  'g',
);
const DESIGN = /§ ?\d|\b(?:the|this) design\b(?!s)|\(design\b/gi;

export function deadCitations(tree: Tree): readonly DeadCitation[] {
  const rules = new Map(
    Object.entries(RULES).map(([letter, file]) => [
      letter,
      definedIn(tree.get(file) ?? '', letter),
    ]),
  );
  const names = new Names(tree.keys());
  const dead: DeadCitation[] = [];
  for (const [file, text] of tree) {
    for (const { line, said, isMarkdown } of passages(file, text)) {
      const tell = (citation: string, why: string): number =>
        dead.push({ file, line, citation, why });
      for (const [citation] of said.matchAll(DESIGN))
        tell(citation, 'cite a rule of src/README.md');
      for (const [citation, letter = ''] of said.matchAll(/\b([DP])[1-9]\d?\b/g)) {
        const where = RULES[letter] ?? '';
        if (rules.get(letter)?.has(citation) !== true) tell(citation, `no such rule in ${where}`);
      }
      const words = isMarkdown ? said.replace(LINK, '') : said;
      for (const citation of filesIn(words)) {
        const why = names.problem(citation, file);
        if (why !== undefined) tell(citation, why);
      }
      if (!isMarkdown) continue;
      for (const [, target = ''] of said.matchAll(LINK)) {
        const why = problemOfLink(target, file, tree);
        if (why !== undefined) tell(target, why);
      }
    }
  }
  return dead;
}

/** Rules stand in a list (- **D1 Title.** …) or in a table (| P1 | …). */
function definedIn(text: string, letter: string): ReadonlySet<string> {
  const rule = new RegExp(`^(?:- \\*\\*|\\| )(${letter}[1-9]\\d?)\\b`, 'gm');
  return new Set([...text.matchAll(rule)].map(([, name = '']) => name));
}

interface Passage {
  readonly line: number;
  readonly said: string;
  readonly isMarkdown: boolean;
}

/** What of a file speaks to people, line by line. */
function* passages(file: string, text: string): Generator<Passage> {
  const isMarkdown = file.endsWith('.md');
  const said = isMarkdown
    ? text.replace(/^( *)```[\s\S]*?^\1```/gm, blank)
    : /\.(ts|mjs|js|proto)$/.test(file)
      ? commentsOf(text)
      : COMMENTED.test(file)
        ? text.replace(/^(?!\s*#).*$/gm, '')
        : '';
  let line = 0;
  for (const one of said.split('\n')) {
    line += 1;
    if (one.trim() !== '') yield { line, said: one, isMarkdown };
  }
}

const blank = (text: string): string => text.replace(/[^\n]/g, '');

/** The comments at their lines, everything else left out. */
function commentsOf(text: string): string {
  const comment = /(?<=^|\s)\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/[^\n]*/g;
  let out = '';
  let at = 0;
  for (const found of text.matchAll(comment)) {
    out += blank(text.slice(at, found.index)) + found[0];
    at = found.index + found[0].length;
  }
  return out;
}

/** The target of a Markdown link. */
const LINK = /\]\(([^()\s]+)\)/g;

function* filesIn(said: string): Generator<string> {
  const rooted = new Set<string>();
  for (const [citation] of said.matchAll(ROOTED)) {
    rooted.add(citation);
    yield citation;
  }
  for (const { 0: citation, index } of said.matchAll(FILE)) {
    // What belongs to an address, to a package or to a command's output is no file of ours.
    const before = said.slice(Math.max(0, index - 2), index);
    if (/[\w@:$<>…]$|:\/$|\/\/$/.test(before) || /^(node_modules|dist)\//.test(citation)) continue;
    if ([...rooted].some((one) => one.includes(citation))) continue;
    yield citation;
  }
}

class Names {
  readonly #files: readonly string[];
  readonly #known = new Set<string>();

  constructor(files: Iterable<string>) {
    this.#files = [...files];
    for (const file of this.#files) {
      this.#known.add(file);
      for (let at = file.lastIndexOf('/'); at > 0; at = file.lastIndexOf('/', at - 1)) {
        this.#known.add(file.slice(0, at));
      }
    }
  }

  /** Why a citation leads nowhere; undefined: it leads somewhere. */
  problem(citation: string, from: string): string | undefined {
    for (const one of spellOut(citation.replace(/\/$/, ''))) {
      const why = this.#problemOfOne(one, from);
      if (why !== undefined) return why;
    }
    return undefined;
  }

  #problemOfOne(name: string, from: string): string | undefined {
    if (this.#has(join(folderOf(from), name)) || this.#has(name)) return undefined;
    if (name.startsWith('.')) return 'no such file';
    const end = name.includes('*') ? pattern(`(?:.*/)?${glob(name)}`) : undefined;
    const all = this.#files.filter((file) => end?.test(file) ?? `/${file}`.endsWith(`/${name}`));
    if (all.length === 0) return 'no such file';
    if (end !== undefined) return undefined;
    const nearest = Math.max(...all.map((file) => sharedFolders(file, from)));
    const near = all.filter((file) => sharedFolders(file, from) === nearest);
    return near.length === 1 ? undefined : `which one: ${near.join(', ')}`;
  }

  #has(name: string): boolean {
    if (!name.includes('*')) return this.#known.has(name);
    const whole = pattern(glob(name));
    return [...this.#known].some((file) => whole.test(file));
  }
}

const pattern = (source: string): RegExp => new RegExp(`^${source}$`);
const glob = (name: string): string =>
  name.replace(/[.+?^$()|[\]\\]/g, '\\$&').replace(/\*+/g, '[^/]*');

/** How many folders two files have in common. */
function sharedFolders(one: string, other: string): number {
  const [a, b] = [folderOf(one).split('/'), folderOf(other).split('/')];
  const differs = a.findIndex((part, i) => part !== b[i]);
  return differs === -1 ? a.length : differs;
}

/** A name with alternatives in braces → the names that it stands for. */
function spellOut(name: string): readonly string[] {
  const found = /^(.*?)\{([^{}]*)\}(.*)$/.exec(name);
  if (found === null) return [name];
  const [, before = '', inner = '', after = ''] = found;
  return inner.split(',').flatMap((one) => spellOut(`${before}${one}${after}`));
}

function problemOfLink(target: string, from: string, tree: Tree): string | undefined {
  if (/^[a-z]+:/.test(target)) return undefined;
  const [path = '', anchor] = target.split('#', 2);
  const file = path === '' ? from : join(folderOf(from), path);
  const isFolder = [...tree.keys()].some((name) => name.startsWith(`${file.replace(/\/$/, '')}/`));
  const text = tree.get(file);
  if (text === undefined) return isFolder && anchor === undefined ? undefined : 'no such file';
  if (anchor === undefined || anchorsOf(text).has(anchor)) return undefined;
  return `${file} has no heading of that name`;
}

/** The anchors that GitHub makes of the headings. */
function anchorsOf(text: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, title = ''] of text.replace(/^```[\s\S]*?^```/gm, blank).matchAll(/^#+ +(.*)$/gm)) {
    const slug = title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/ /g, '-');
    for (let n = 0; ; n += 1) {
      const anchor = n === 0 ? slug : `${slug}-${String(n)}`;
      if (anchors.has(anchor)) continue;
      anchors.add(anchor);
      break;
    }
  }
  return anchors;
}

function folderOf(file: string): string {
  return file.includes('/') ? file.slice(0, file.lastIndexOf('/')) : '';
}

/** A path relative to a folder, without `.` and `..`. */
function join(folder: string, path: string): string {
  const parts = folder === '' ? [] : folder.split('/');
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.' && part !== '') parts.push(part);
  }
  return parts.join('/');
}
