import type { Explain } from '../check/explain.ts';
import { readExplainQuestion } from '../check/explain-question.ts';
import { invalidRequest } from '../issue/invalid-request.ts';
import type { Route } from './console.ts';
import { refusalFrom } from './refusal.ts';

/** `POST /api/explain`: a question (explain-question.ts) → an Explanation. Charges nothing, changes nothing. */
export function createExplainRoute(explain: Explain): Route {
  return {
    method: 'POST',
    path: '/api/explain',
    right: 'look',
    async handle({ body }) {
      const question = readExplainQuestion(body);
      return typeof question === 'string'
        ? refusalFrom(invalidRequest('body', `${question}.`))
        : explain(question);
    },
  };
}
