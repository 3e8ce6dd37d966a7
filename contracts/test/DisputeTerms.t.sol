// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {DisputedAnswer} from "./DisputedAnswer.sol";
import {vm} from "./Vm.sol";

/// @title Who may call, and what Disputes can be deployed with
contract DisputeTermsTest is DisputedAnswer {
    // ---- who may call, and deployment ------------------------------------------------------------------------------

    function test_OnlyTheCoprocessorForcesAuditsAndSupersedes() public {
        openAs(CHALLENGER, asked);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotCoprocessor.selector, address(this)));
        disputes.forceAudit(id, asked.modelId, answerers(), address(this));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotCoprocessor.selector, address(this)));
        disputes.supersede(id);
    }

    function test_ItIsTheCoprocessorsOwnOrNone() public {
        bytes memory creation = bytes.concat(shipped(), abi.encode(coprocessor, operators, terms()));
        vm.etch(STRANGER, creation);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotTheDisputes.selector, address(disputes)));
        this.create(STRANGER);
    }

    function test_TermsAreSound() public {
        for (uint256 i; i < 7; ++i) {
            IDisputes.Terms memory bad = terms();
            if (i == 0) bad.bondWei = 0;
            if (i == 1) bad.committeeSize = 4;
            if (i == 2) bad.committeeSize = 1;
            if (i == 3) bad.committeeSize = 33;
            if (i == 4) bad.drawSeconds = 0;
            if (i == 5) bad.commitSeconds = 0;
            if (i == 6) bad.revealSeconds = 0;
            expectDeploymentRefused(bad, abi.encodeWithSelector(IDisputes.TermsRejected.selector));
        }
    }

    /// @dev A stake outlasts the longest window, a dispute opened in its last second, and a day.
    function test_TheUnbondingOutlastsEverything() public {
        IDisputes.Terms memory long = terms();
        uint64 rest = UNBONDING_SECONDS - 7 days - 1 days;
        long.drawSeconds = uint32(rest) - long.commitSeconds - long.revealSeconds;
        bytes memory expected =
            abi.encodeWithSelector(IDisputes.UnbondingTooShort.selector, UNBONDING_SECONDS + 1, UNBONDING_SECONDS);
        expectDeploymentRefused(long, expected);
        --long.drawSeconds;
        put(long);
        this.create(address(disputes));
    }

    // ---- inside ----------------------------------------------------------------------------------------------------

    /// @dev Creates Disputes in the name of an address, where its creation code was put: what it does is the same, and
    ///      the address is known beforehand.
    function create(address place_) external {
        (bool isSuccess, bytes memory answer) = place_.call("");
        if (isSuccess) return;
        assembly {
            revert(add(answer, 0x20), mload(answer))
        }
    }

    function put(IDisputes.Terms memory with) private {
        vm.etch(address(disputes), bytes.concat(shipped(), abi.encode(coprocessor, operators, with)));
    }

    function shipped() private view returns (bytes memory) {
        return vm.parseJsonBytes(vm.readFile("oracle/artifacts/Disputes.json"), ".bytecode");
    }

    function expectDeploymentRefused(IDisputes.Terms memory bad, bytes memory reason) private {
        put(bad);
        vm.expectRevert(reason);
        this.create(address(disputes));
    }
}
