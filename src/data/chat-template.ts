import { Template } from '@huggingface/jinja';
import { UserError } from '../errors.ts';

export interface Message {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

/** Each turn between <|im_start|>role and <|im_end|>, as in OpenAI's ChatML and Unsloth's template of that name. */
const CHATML = `{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`;

/** Llama 3.1's header tokens around each role; without its tool and date sections, which plain chats do not need. */
const LLAMA_31 = `{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}`;

/** Templates by name; others come with a tokenizer. */
export const CHAT_TEMPLATES: Readonly<Record<string, string>> = { chatml: CHATML, 'llama-3.1': LLAMA_31 };

export interface RenderOptions {
  /** Ends with the opening of the assistant's turn. */
  add_generation_prompt: boolean;
  bos_token?: string | null;
  eos_token?: string | null;
}

/** A compiled chat template (Jinja, as in tokenizer_config.json). */
export class ChatTemplate {
  readonly source: string;
  readonly #template: Template;

  /** @throws UserError when the text is not a Jinja template */
  constructor(source: string) {
    this.source = source;
    try {
      this.#template = new Template(source);
    } catch (error) {
      throw new UserError(
        `chat template: ${(error as Error).message}; correct it or choose one of ${Object.keys(CHAT_TEMPLATES).join(', ')}`,
      );
    }
  }

  /** @throws UserError with the template's own complaint, for conversations that it refuses */
  render(messages: readonly Message[], { add_generation_prompt, bos_token, eos_token }: RenderOptions): string {
    try {
      return this.#template.render({
        messages,
        add_generation_prompt,
        bos_token: bos_token ?? '',
        eos_token: eos_token ?? '',
      });
    } catch (error) {
      throw new UserError(`chat template: ${(error as Error).message}; change the conversation or the template`);
    }
  }
}

/**
 * The template of a name, or with `tokenizer` the one that the tokenizer brings.
 *
 * @throws UserError when the tokenizer has none, or the name is unknown
 */
export function chatTemplateOf(name: string, own: string | null): ChatTemplate {
  const source = name === 'tokenizer' ? own : CHAT_TEMPLATES[name];
  if (!source)
    throw new UserError(
      name === 'tokenizer'
        ? 'chat_template: the tokenizer has no template of its own; choose chatml or llama-3.1'
        : `chat_template: got ${name}, expected ${Object.keys(CHAT_TEMPLATES).join(', ')} or tokenizer; correct the name`,
    );
  return new ChatTemplate(source);
}
