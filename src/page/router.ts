// Which view the page shows, by the address behind `#` (report/route.ts), and when that changes.

import { useLayoutEffect, useState } from 'preact/hooks';
import { hashOf, type Route, routeOf } from '../report/route.ts';

export { hashOf, type Route, routeOf };

export function useRoute(): Route {
  const [route, setRoute] = useState(() => routeOf(location.hash));
  // Before anything that leads elsewhere is to be seen.
  useLayoutEffect(() => {
    const follow = () => setRoute(routeOf(location.hash));
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  return route;
}
