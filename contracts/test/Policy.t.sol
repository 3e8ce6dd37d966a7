// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Policy} from "../src/libraries/Policy.sol";
import {EvidenceKind} from "../src/libraries/Types.sol";
import {bound, vm} from "./Vm.sol";

/// @title Every 32-byte word is a policy by the rules, or refused
contract PolicyTest {
    function testFuzz_WellFormedWordsReadBackAndNothingElsePasses(uint8 k, uint8 flags, uint32 windowSeconds) public {
        flags = uint8(bound(flags, 0, 15));
        vm.assume(flags & 6 != 4); // below
        vm.assume(flags & 8 == 0 || windowSeconds != 0); // below
        bytes32 policy = pack(1, k, flags, windowSeconds, 0);
        if (k == 0 && flags & 1 == 0) {
            expectMalformed(policy);
            return;
        }
        this.requireWellFormed(policy);
        vm.assertEq(Policy.quorum(policy), k);
        vm.assertEq(Policy.windowSeconds(policy), windowSeconds);
        vm.assertEq(Policy.demandsEnclave(policy), flags & 2 != 0);
        vm.assertEq(Policy.allowsSimulated(policy), flags & 4 != 0);
        vm.assertEq(Policy.isDisputable(policy), flags & 8 != 0);
        EvidenceKind[] memory kinds = Policy.demandedKinds(policy);
        uint256 expected = (k == 0 ? 0 : 1) + (flags & 1) + ((flags >> 1) & 1);
        vm.assertEq(kinds.length, expected);
        for (uint256 i = 1; i < kinds.length; ++i) {
            vm.assertTrue(uint8(kinds[i - 1]) < uint8(kinds[i]), "kinds in their fixed order");
        }
    }

    function testFuzz_AnotherVersionIsRefused(uint8 version) public {
        vm.assume(version != 1);
        expectMalformed(pack(version, 2, 0, 0, 0));
    }

    function testFuzz_UnknownFlagsAreRefused(uint8 flags) public {
        vm.assume(flags > 15);
        expectMalformed(pack(1, 2, flags, 0, 0));
    }

    function test_ASimulatedEnclaveIsNamedOnlyWithAnEnclave() public {
        expectMalformed(pack(1, 2, 4, 0, 0));
        expectMalformed(pack(1, 2, 5, 0, 0));
        this.requireWellFormed(pack(1, 2, 6, 0, 0));
        this.requireWellFormed(pack(1, 2, 7, 0, 0));
    }

    function test_AnEnclaveAloneIsNoEvidence() public {
        expectMalformed(pack(1, 0, 2, 0, 0));
        expectMalformed(pack(1, 0, 6, 600, 0));
        this.requireWellFormed(pack(1, 1, 2, 0, 0));
        this.requireWellFormed(pack(1, 0, 3, 0, 0));
    }

    function test_ADisputeNeedsAWindow() public {
        expectMalformed(pack(1, 2, 8, 0, 0));
        expectMalformed(pack(1, 2, 15, 0, 0));
        this.requireWellFormed(pack(1, 2, 8, 1, 0));
        this.requireWellFormed(pack(1, 0, 9, 1, 0));
        expectMalformed(pack(1, 0, 8, 600, 0)); // and evidence
    }

    function test_EveryBitOfPaddingIsRefused() public {
        for (uint256 bit; bit < 200; ++bit) {
            expectMalformed(pack(1, 2, 0, 0, uint200(1) << uint8(bit)));
        }
    }

    function requireWellFormed(bytes32 policy) external pure {
        Policy.requireWellFormed(policy);
    }

    function expectMalformed(bytes32 policy) private {
        vm.expectRevert(abi.encodeWithSelector(Policy.MalformedPolicy.selector, policy));
        this.requireWellFormed(policy);
    }

    function pack(uint8 version, uint8 k, uint8 flags, uint32 windowSeconds, uint200 padding)
        private
        pure
        returns (bytes32)
    {
        return bytes32(abi.encodePacked(version, k, flags, windowSeconds, padding));
    }
}
