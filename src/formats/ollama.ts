import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** A chat format in the template language of Ollama, which is Go's text/template over messages. */
interface OllamaTemplate {
  source: string;
  /** Texts that end an answer. */
  stop: readonly string[];
}

/**
 * Ollama's counterparts of the chat templates that come with dawntune, by their names. They leave out the token that a
 * document starts with: Ollama adds it where the GGUF file says so.
 */
export const OLLAMA_TEMPLATES: Readonly<Record<'chatml' | 'llama-3.1', OllamaTemplate>> = {
  chatml: {
    source: '{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n',
    stop: ['<|im_start|>', '<|im_end|>'],
  },
  'llama-3.1': {
    source:
      '<|start_header_id|>system<|end_header_id|>\n\n' +
      'Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n{{ .System }}<|eot_id|>' +
      '{{ range .Messages }}{{ if ne .Role "system" }}' +
      '<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n{{ .Content }}<|eot_id|>' +
      '{{ end }}{{ end }}<|start_header_id|>assistant<|end_header_id|>\n\n',
    stop: ['<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
  },
};

/**
 * A Modelfile (https://github.com/ollama/ollama/blob/main/docs/modelfile.md) for `ollama create NAME -f Modelfile`.
 *
 * @param models file names of GGUF files beside it; the first is used, the others are named in comments
 * @param template a format of dawntune's; without one Ollama goes by the template in the GGUF file, if it knows it
 */
export function modelfile(models: readonly string[], template: keyof typeof OLLAMA_TEMPLATES | null): string {
  const [first, ...others] = models;
  const lines = [`FROM ./${first}`, ...others.map((other) => `# FROM ./${other}`)];
  if (template) {
    const { source, stop } = OLLAMA_TEMPLATES[template];
    lines.push(`TEMPLATE """${source}"""`, ...stop.map((text) => `PARAMETER stop "${text}"`));
  }
  return `${lines.join('\n')}\n`;
}

/** Whether a Modelfile is one of a model in a file beside it that is not there. */
export function isOrphan(file: string): boolean {
  if (!existsSync(file)) return false;
  const [, model] = /^FROM \.\/(.+)$/m.exec(readFileSync(file, 'utf8')) ?? [];
  return model !== undefined && !existsSync(path.join(path.dirname(file), model));
}
