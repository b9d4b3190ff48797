import { describe, expect, it } from 'vitest';
import { NOT_NARROWED } from '../filters/narrow';
import { HOME } from '../route';
import { facetQuestions, readFacets } from './facets';

describe('facets', () => {
  it('counts a field with choices as if it had none', () => {
    const questions = facetQuestions({ ...HOME, services: ['a'], errorsOnly: true, search: 'x' }, 'traces');
    expect(questions.map((each) => each.fields)).toEqual([['status_class', 'kind', 'name'], ['service'], ['status']]);
    expect(questions[1]?.route).toMatchObject({ services: [], errorsOnly: true, search: 'x' });
    expect(questions[2]?.route).toMatchObject({ services: ['a'], errorsOnly: false });
  });

  it('asks once when nothing is chosen', () => {
    expect(facetQuestions(HOME, 'logs')).toEqual([{ route: HOME, fields: ['service', 'severity'] }]);
  });

  it('orders classes by their own order and keeps a choice that is gone', () => {
    const counts = { status_class: [{ value: '5xx', count: 9 }, { value: '2xx', count: 3 }], service: [{ value: 'b', count: 1 }] };
    const [service, , http] = readFacets(counts, { ...NOT_NARROWED, services: ['a'] }, 'spans');
    expect(http?.values.map((each) => each.value)).toEqual(['2xx', '5xx']);
    expect(service?.values).toMatchObject([{ value: 'b', isOn: false }, { value: 'a', count: 0, isOn: true }]);
  });

  it('shows a value once, however often the URL says it', () => {
    const [, status] = readFacets({}, { ...NOT_NARROWED, errorsOnly: true, statuses: ['error'] }, 'spans');
    expect(status?.values).toHaveLength(1);
  });

  it('knows the error of errors=1 as chosen', () => {
    const [, status] = readFacets({ status: [{ value: 'error', count: 2 }] }, { ...NOT_NARROWED, errorsOnly: true }, 'traces');
    expect(status?.values).toMatchObject([{ value: 'error', isOn: true, isError: true }]);
  });
});
