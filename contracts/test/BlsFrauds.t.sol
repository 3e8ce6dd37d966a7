// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBlsKeys} from "../src/interfaces/IBlsKeys.sol";
import {IFraudProofs} from "../src/interfaces/IFraudProofs.sol";
import {IVerifierRouter} from "../src/interfaces/IVerifierRouter.sol";
import {Bls} from "../src/libraries/Bls.sol";
import {Claim, Evidence, Request} from "../src/libraries/Types.sol";
import {BlsDeployment} from "./BlsDeployment.sol";
import {vm} from "./Vm.sol";

/// @title Who signs a lie with a BLS key loses the stake, like who signs it with the other
contract BlsFraudsTest is BlsDeployment {
    bytes private constant INPUT = "x";
    address private constant CHALLENGER = address(0xC0FFEE);

    bytes private lie = new bytes(22);
    bytes private truthful = new bytes(20);
    Request private asked;
    Claim private lied;
    Claim private told;
    Evidence private proof;

    function setUp() public override {
        super.setUp();
        truth.learn(modelId, INPUT, truthful);
        asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, 0), 1000, 0);
        proof = proofOf(asked, truthful, CHALLENGER);
        (lied, told) = (claimOf(asked, lie), claimOf(asked, truthful));
        coprocessor.deliver(asked, "", lie, blsEvidenceOf(asked, lie, 2));
    }

    function test_ADeliveredLieCostsItsSignersTheStake() public {
        vm.assertEq(proveWrong(signedBy(lie, 0, 1)), 2);
        for (uint256 i; i < 2; ++i) {
            vm.assertEq(operators.stakeOf(operatorAt(i)), 0);
            vm.assertTrue(frauds.wasSlashed(coprocessor.computeRequestId(asked), operatorAt(i)), "slashed");
        }
        vm.assertEq(operators.owedTo(CHALLENGER), MIN_STAKE_WEI);
        vm.assertEq(operators.stakeOf(operatorAt(2)), MIN_STAKE_WEI);
    }

    /// @dev Neither leaving nor changing the key helps.
    function test_ItCostsWhoLeftOrChangedItsKey() public {
        IFraudProofs.BlsSigned memory signed = signedBy(lie, 0, 1);
        vm.prank(operatorAt(0));
        operators.beginExit();
        registerBlsAs(operatorAt(1), seatIndexOf(1), secretOf(50));
        vm.assertEq(proveWrong(signed), 2);
    }

    function test_OnlyOnceForARequest() public {
        IFraudProofs.BlsSigned memory signed = signedBy(lie, 0, 1);
        proveWrong(signed);
        vm.expectRevert(abi.encodeWithSelector(IFraudProofs.NobodySlashed.selector, lied.requestId));
        proveWrong(signed);
    }

    function test_NobodyIsSlashedWhoDidNotSign() public {
        IFraudProofs.BlsSigned memory signed = signedBy(lie, 0, 1);
        signed.keys = keysOf(0, 2);
        vm.expectPartialRevert(IBlsKeys.NotSigned.selector);
        proveWrong(signed);
    }

    function test_TheTruthIsNoLie() public {
        IFraudProofs.BlsSigned memory signed = signedBy(truthful, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(IFraudProofs.SameOutput.selector, keccak256(truthful)));
        frauds.proveWrongTogether(told, signed, INPUT, truthful, proof);
    }

    function test_ALieIsNotProvenByAnother() public {
        bytes memory other = new bytes(24);
        IFraudProofs.BlsSigned memory signed = signedBy(lie, 0, 1);
        vm.expectRevert();
        frauds.proveWrongTogether(lied, signed, INPUT, other, proof);
    }

    function test_AStoppedVerifierSlashesNobody() public {
        IFraudProofs.BlsSigned memory signed = signedBy(lie, 0, 1);
        vm.prank(GUARDIAN);
        router.stop(QUORUM_BLS);
        vm.expectRevert(abi.encodeWithSelector(IVerifierRouter.SelectorStopped.selector, QUORUM_BLS));
        proveWrong(signed);
    }

    // ---- two outputs ------------------------------------------------------------------------------------------

    function test_WhoIsAmongTheSignersOfBothIsSlashed() public {
        uint256 slashed = equivocation(signedBy(lie, 0, 2), signedBy(truthful, 2, 4));
        vm.assertEq(slashed, 1);
        vm.assertEq(operators.stakeOf(operatorAt(2)), 0);
        vm.assertEq(operators.stakeOf(operatorAt(0)), MIN_STAKE_WEI);
        vm.assertEq(operators.stakeOf(operatorAt(4)), MIN_STAKE_WEI);
    }

    /// @dev One output with each of its two keys.
    function test_OneWithEachKeyIsTwo() public {
        bytes memory signature = signDigest(keyOf(1), claimDigestOf(asked, truthful));
        IFraudProofs.BlsSigned memory ecdsa = IFraudProofs.BlsSigned(new bytes[](0), signature);
        vm.assertEq(equivocation(signedBy(lie, 0, 1), ecdsa), 1);
        vm.assertEq(operators.stakeOf(operatorAt(1)), 0);
    }

    function test_SignersOfOneEachAreNotSlashed() public {
        IFraudProofs.BlsSigned memory first = signedBy(lie, 0, 1);
        IFraudProofs.BlsSigned memory second = signedBy(truthful, 2, 3);
        vm.expectPartialRevert(IFraudProofs.NobodySlashed.selector);
        equivocation(first, second);
    }

    function test_TheSameOutputTwiceIsNoEquivocation() public {
        IFraudProofs.BlsSigned memory signed = signedBy(lie, 0, 1);
        vm.expectPartialRevert(IFraudProofs.SameOutput.selector);
        frauds.proveEquivocationTogether(lied, signed, lied, signed);
    }

    function test_TwoRequestsAreNoEquivocation() public {
        Request memory second = ask(address(0xA11CE), INPUT, quorumPolicy(2, 0), 1000, 0);
        IFraudProofs.BlsSigned memory signed = signedBy(lie, 0, 1);
        Claim memory other = claimOf(second, truthful);
        vm.expectPartialRevert(IFraudProofs.OtherRequest.selector);
        frauds.proveEquivocationTogether(lied, signed, other, signed);
    }

    function proveWrong(IFraudProofs.BlsSigned memory signed) private returns (uint256) {
        return frauds.proveWrongTogether(lied, signed, INPUT, truthful, proof);
    }

    function equivocation(IFraudProofs.BlsSigned memory first, IFraudProofs.BlsSigned memory second)
        private
        returns (uint256)
    {
        return frauds.proveEquivocationTogether(lied, first, told, second);
    }

    function keysOf(uint256 first, uint256 last) private view returns (bytes[] memory keys) {
        keys = new bytes[](last - first + 1);
        for (uint256 i; i < keys.length; ++i) {
            keys[i] = publicKey(secretOf(first + i));
        }
    }

    function signedBy(bytes memory output, uint256 first, uint256 last)
        private
        view
        returns (IFraudProofs.BlsSigned memory)
    {
        uint256 secret;
        for (uint256 i = first; i <= last; ++i) {
            secret = addModOrder(secret, secretOf(i));
        }
        bytes memory signature = signBls(secret, Bls.CLAIMS, claimDigestOf(asked, output));
        return IFraudProofs.BlsSigned(keysOf(first, last), signature);
    }
}
