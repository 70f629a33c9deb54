import { Template } from '@huggingface/jinja';
import { complain } from '../errors.ts';

/** Who speaks. */
export type Role = 'system' | 'user' | 'assistant';

/** One turn of a conversation. */
export interface Message {
  role: Role;
  content: string;
}

/** What a template is given besides the messages. */
export interface RenderOptions {
  /** Ends with the header of an assistant turn, for the model to go on from. */
  add_generation_prompt?: boolean;
  /** Text of the token a document starts with ('' for none). */
  bos_token?: string;
  /** Text of the token a document ends with ('' for none). */
  eos_token?: string;
}

/** A chat template and what to call it. */
export interface ChatTemplate {
  /** For messages: a name of {@link CHAT_TEMPLATES}, or where the text came from. */
  name: string;
  /** Jinja source. */
  source: string;
}

/**
 * The templates that come with dawntune, by name. For plain conversations each gives the text its original gives:
 * - `chatml`: OpenAI's ChatML as Qwen and others use it, without a system turn of its own;
 * - `llama-3.1`: Meta's, including the system turn with the knowledge cutoff and date which it always writes.
 */
export const CHAT_TEMPLATES: Readonly<Record<'chatml' | 'llama-3.1', ChatTemplate>> = {
  chatml: {
    name: 'chatml',
    source:
      "{% for turn in messages %}{{ '<|im_start|>' + turn['role'] + '\\n' + turn['content'] + '<|im_end|>\\n' }}{% endfor %}" +
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
  },
  'llama-3.1': {
    name: 'llama-3.1',
    // The model has seen this header with every conversation, so it is written even without a system message.
    source:
      "{% macro header(role) %}{{ '<|start_header_id|>' + role + '<|end_header_id|>\\n\\n' }}{% endmacro %}" +
      "{% set with_system = messages and messages[0]['role'] == 'system' %}" +
      "{{ bos_token + header('system') + 'Cutting Knowledge Date: December 2023\\nToday Date: 26 Jul 2024\\n\\n' }}" +
      "{% if with_system %}{{ messages[0]['content'] | trim }}{% endif %}{{ '<|eot_id|>' }}" +
      '{% for turn in messages %}{% if not (with_system and loop.first) %}' +
      "{{ header(turn['role']) + (turn['content'] | trim) + '<|eot_id|>' }}" +
      '{% endif %}{% endfor %}' +
      "{% if add_generation_prompt %}{{ header('assistant') }}{% endif %}",
  },
};

/** Which of dawntune's own templates this is; null for another. */
export function ownTemplateName(template: ChatTemplate | null): keyof typeof CHAT_TEMPLATES | null {
  const names = Object.keys(CHAT_TEMPLATES) as (keyof typeof CHAT_TEMPLATES)[];
  return names.find((name) => CHAT_TEMPLATES[name].source === template?.source) ?? null;
}

const compiled = new Map<string, Template>();

/**
 * A conversation as the text a model was trained on.
 * @throws UserError when the template is no valid Jinja, or refuses the messages (`raise_exception`)
 */
export function renderChat(template: ChatTemplate, messages: readonly Message[], options: RenderOptions = {}): string {
  try {
    let program = compiled.get(template.source);
    if (program === undefined) {
      program = new Template(template.source);
      compiled.set(template.source, program);
    }
    return program.render({
      messages: messages.map(({ role, content }) => ({ role, content })),
      add_generation_prompt: options.add_generation_prompt ?? false,
      bos_token: options.bos_token ?? '',
      eos_token: options.eos_token ?? '',
      // For templates that write today's date: a fixed one, so that the same data gives the same ids on every day.
      date_string: '26 Jul 2024',
    });
  } catch (error) {
    throw complain({
      where: `chat template ${template.name}`,
      got: error instanceof Error ? error.message : String(error),
      expected: 'a template that accepts the roles and their order',
      remedy: "change the conversation, or choose another template ('chatml' or 'llama-3.1')",
    });
  }
}

/** A template of {@link CHAT_TEMPLATES} by name. @throws UserError naming the templates there are */
export function chatTemplate(name: string): ChatTemplate {
  if (Object.hasOwn(CHAT_TEMPLATES, name)) return CHAT_TEMPLATES[name as keyof typeof CHAT_TEMPLATES];
  throw complain({
    where: 'chat template',
    got: JSON.stringify(name),
    expected: `one of ${Object.keys(CHAT_TEMPLATES).join(', ')}`,
    remedy: 'correct the name',
  });
}
